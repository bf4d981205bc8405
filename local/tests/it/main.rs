//! The `penstock` command as it is run: what it writes, says and leaves, and its exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod partitions;
