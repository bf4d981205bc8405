//! The whole engine, in any dialect and by any policies, from any bytes in any chunks.
#![no_main]

#[path = "../checks/engine.rs"]
mod engine_check;
#[path = "../checks/packing.rs"]
mod packing;
#[path = "../checks/partitions.rs"]
mod partitions;
#[path = "../checks/recipes.rs"]
mod recipes;
#[path = "../checks/running.rs"]
mod running;

libfuzzer_sys::fuzz_target!(|data: &[u8]| engine_check::holds(data));
