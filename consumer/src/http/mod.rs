//! A client for addresses that others name: it looks at every address before it connects, connects to what it looked
//! at, and follows nothing.
//!
//! # Layout
//!
//! - `guard`: which addresses are the public internet's.
//! - `resolve`: names to addresses, looked at.
//! - `client`: one request, one answer.

mod client;
mod guard;
mod resolve;

pub use client::{HttpClient, HttpError, Request};
pub use resolve::{Resolve, SystemResolver};
