//! The shared parts from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod conformance;
mod contracts;
mod network;
mod objects;
mod pace;
mod probe;
mod proxy;
mod read;
mod write;
