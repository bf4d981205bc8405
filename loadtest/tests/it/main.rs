//! What the crate as a whole must hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod generated;
mod places;
mod run;
mod sampled;
mod sim;
mod told;
