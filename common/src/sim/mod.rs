//! An S3 in this process, for tests and for measuring: no network, no disk, no account.
//!
//! - [`SimServer`]: speaks S3's protocol on loopback, in front of any store.
//! - [`ComputedStore`]: input objects computed from the offset, of any size; outputs hashed and counted, not kept.

mod computed;
mod input;
mod server;

pub use computed::{ComputedStore, Make};
pub use input::{Input, Repeated};
pub use server::SimServer;
