//! What is told of a run: one document, and what is made of it.
//!
//! # Layout
//!
//! - [`document`]: the run as JSON; everything else here is a pure function of it.
//! - [`page`]: one self-contained page.
//! - [`table`]: a line a file, as CSV.
//! - [`summary`]: for the terminal.
//! - [`compare`]: two runs, and what of their difference is noise.

pub mod compare;
pub mod document;
pub mod page;
pub mod summary;
pub mod table;

use indicatif::HumanCount;

/// How many files, in words.
pub(crate) fn files(number: u64) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { "file" } else { "files" })
}

/// A setting that may have been left out.
pub(crate) fn or_none(setting: Option<String>) -> String {
    setting.unwrap_or_else(|| "none".into())
}

/// Bytes with a decimal unit, as rates and sizes of text are told.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

/// Bytes with a binary unit, as memory is told.
pub(crate) fn binary_bytes(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", units[unit])
}

/// A time with a unit that suits it.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..120.0 => format!("{seconds:.1} s"),
        _ => format!("{:.1} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_that_suit_them() {
        assert_eq!((files(1), files(1234)), ("1 file".into(), "1,234 files".into()));
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1_500.0), "1.5 kB");
        assert_eq!(bytes(250e6), "250 MB");
        assert_eq!(binary_bytes(64.0 * 1024.0 * 1024.0 * 1024.0), "64.0 GiB");
        assert_eq!(duration(0.25), "250 ms");
        assert_eq!(duration(600.0), "10.0 min");
    }
}
