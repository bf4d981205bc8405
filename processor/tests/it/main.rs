//! The processor from outside: events in, objects and messages out, through the real S3 protocol.

mod bad_input;
mod events;
mod faults;
mod once;
mod world;
