//! The processor from outside: events in, objects and messages out, through the real S3 protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod bad_input;
mod corpus;
mod events;
mod faults;
mod model;
mod once;
mod partitions;
mod process;
mod recipes;
mod runtime_api;
mod time;
mod traces;
mod world;
