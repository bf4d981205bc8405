//! The engine from outside: files in, files out.

mod against_csv;
mod gzip;
mod harness;
mod properties;
mod rows;
