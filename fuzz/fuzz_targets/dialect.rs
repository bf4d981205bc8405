//! What is found of a dialect.
#![no_main]

#[path = "../checks/dialect.rs"]
mod dialect_check;
#[path = "../checks/running.rs"]
mod running;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialect_check::holds(data));
