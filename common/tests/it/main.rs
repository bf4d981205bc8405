//! The shared parts from outside.

mod conformance;
mod contracts;
mod objects;
mod read;
mod write;
