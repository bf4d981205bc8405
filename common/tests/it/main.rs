//! The shared parts from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod completion;
mod conformance;
mod contracts;
mod dropped;
mod network;
mod objects;
mod pace;
mod parts;
mod probe;
mod proxy;
mod read;
mod spans;
mod suite;
mod tls;
mod write;
