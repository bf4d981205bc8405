//! What reads events: S3's, and ours.
#![no_main]

#[path = "../checks/event.rs"]
mod event_check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| event_check::holds(data));
