//! Sizes as people write them.

/// Reads a whole number of bytes, with or without a unit: `64GiB`, `1GB`, `5`.
///
/// # Errors
///
/// Says what is wrong with the text, for people.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        unit => return Err(format!("{unit:?} is none of KiB, MiB, GiB, TiB, KB, MB, GB, TB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{digits:?} is not a whole number: {error}"))?;
    number.checked_mul(unit).ok_or_else(|| "more than there is".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse("64GiB"), Ok(64 << 30));
        assert_eq!(parse("1GB"), Ok(1_000_000_000));
        assert_eq!(parse("5"), Ok(5));
        assert!(parse("5Gb").is_err() && parse("x").is_err() && parse("99999999TiB").is_err());
    }
}
