//! A file that had the whole of Lambda's time and was not done.

use std::time::Duration;

use common::contract::Failure;

use super::{File, FileError, OUT_OF_TIME, Outcome, Places};
use crate::decision::Decision;
use crate::give_up::Reason;

impl File<'_> {
    /// Says that the file takes longer than Lambda allows, so that Lambda does not try again: it would cost the same
    /// twice more. Not where a twin was quicker.
    pub(super) async fn fail_out_of_time(&self, read: u64, places: &Places) -> Result<Outcome, FileError> {
        let decision = self.decide(&self.look(places).await?);
        match (self.settle(&decision, places).await?, decision) {
            (Some(outcome), _) => Ok(outcome),
            // Its output is there already, from a twin or from before a crash; a receipt would deny it. The retry may
            // find the time that is lacking.
            (None, Decision::Adopt { .. }) => Err(Reason::OutOfTime.into()),
            (None, _) => {
                let message = message(self.begun.elapsed(), read, self.source.size);
                let code = OUT_OF_TIME.into();
                let failure = Failure { code, message, line: None, byte_offset: Some(read) };
                self.fail(failure, places).await
            }
        }
    }
}

fn message(took: Duration, read: u64, size: u64) -> String {
    format!(
        "{} were not enough: {} of the input were read, {}: give the function a longer time-out or more memory, or \
         split the file",
        time(took),
        share(read, size),
        rate(read, took)
    )
}

fn time(took: Duration) -> String {
    let rounded = took + Duration::from_millis(500);
    match rounded.as_secs() {
        seconds @ 60.. => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds @ 10.. => format!("{seconds} s"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

/// Both in the unit that suits the larger.
fn share(read: u64, size: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(bytes, _)| size >= *bytes) {
        Some((bytes, unit)) => {
            let count = |part: u64| part as f64 / *bytes as f64;
            format!("{:.1} of {:.1} {unit}", count(read), count(size))
        }
        None => format!("{read} of {size} bytes"),
    }
}

fn rate(read: u64, took: Duration) -> String {
    // A clock that has not moved gives no rate; a millisecond is below what any message shows.
    let bytes_per_second = read as f64 / took.as_secs_f64().max(0.001);
    match bytes_per_second {
        10e6.. => format!("{:.0} MB/s", bytes_per_second / 1e6),
        1e6.. => format!("{:.1} MB/s", bytes_per_second / 1e6),
        _ => format!("{:.1} kB/s", bytes_per_second / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_how_far_it_came_and_at_what_rate() {
        let gib = |tenths: u64| tenths * (1 << 30) / 10;
        assert_eq!(
            message(Duration::from_millis(895_400), gib(412), gib(640)),
            "14 min 55 s were not enough: 41.2 of 64.0 GiB of the input were read, 49 MB/s: give the function a longer \
             time-out or more memory, or split the file"
        );
        let begins = |took, read, size, start: &str| {
            let message = message(Duration::from_millis(took), read, size);
            assert!(message.starts_with(start), "{message}");
        };
        let mib = 1 << 20;
        begins(
            2700,
            5 * mib,
            11 * mib,
            "2.7 s were not enough: 5.0 of 11.0 MiB of the input were read, 1.9 MB/s:",
        );
        begins(
            55_000,
            mib,
            2 * mib,
            "55 s were not enough: 1.0 of 2.0 MiB of the input were read, 19.1 kB/s:",
        );
        begins(0, 1, 3, "0.0 s were not enough: 1 of 3 bytes of the input were read, 1.0 kB/s:");
    }
}
