//! The consumer against a store and a topic in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers too")]

mod batch;
mod chaos;
mod daily;
mod live;
mod once;
mod recorded;
mod set_aside;
mod soundness;
mod startup;
mod targets;
mod webhooks;
mod world;
