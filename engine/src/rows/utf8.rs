//! Which records of a buffer are valid UTF-8, without looking at every byte twice.

/// Validated at once: a fault in one window makes its records be looked at one by one, and no others.
const WINDOW_BYTES: usize = 32 * 1024;

/// How far one buffer has been validated. Records are asked for in order.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    /// Everything before is valid.
    valid_to: usize,
    /// Between `valid_to` and here, something is not.
    window_end: usize,
}

impl Utf8 {
    /// Whether the record from `start` to `end` is valid, where those before it end at `start` or earlier.
    #[inline]
    pub(crate) fn is_valid(&mut self, input: &[u8], start: usize, end: usize) -> bool {
        end <= self.valid_to || self.look(input, start, end)
    }

    #[cold]
    fn look(&mut self, input: &[u8], start: usize, end: usize) -> bool {
        if end <= self.window_end {
            return simdutf8::basic::from_utf8(&input[start..end]).is_ok();
        }
        let window_end = input.len().min(end.max(start + WINDOW_BYTES));
        self.window_end = window_end;
        self.valid_to = match simdutf8::compat::from_utf8(&input[start..window_end]) {
            Ok(_) => window_end,
            Err(error) => start + error.valid_up_to(),
        };
        end <= self.valid_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_judged_by_its_own_bytes() {
        let line = [&b"x".repeat(99)[..], b"\n"].concat();
        let mut input = line.repeat(1000);
        for bad in [0, 55_555, 99_998] {
            input[bad] = 0xff;
        }
        // A character that the window's border may cut.
        input[32_767..32_769].copy_from_slice("é".as_bytes());
        let mut utf8 = Utf8::default();
        for at in (0..input.len()).step_by(100) {
            let expected = !matches!(at, 0 | 55_500 | 99_900);
            assert_eq!(utf8.is_valid(&input, at, at + 100), expected, "{at}");
        }
    }
}
