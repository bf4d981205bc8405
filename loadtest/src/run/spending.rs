//! Asks before money is spent.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use local::ending::UsageError;
use local::terminal::Terminal;

use super::args::{Args, Asked};
use super::cost::{Bill, cost, of_sending};
use super::plan::Plan;
use crate::generate::Text;
use crate::report::bytes;

/// Files whose sizes are looked at; more are taken to be like these.
const LOOKED_AT: u64 = 100;

/// What a run will cost, about.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Estimate {
    files: u64,
    text_bytes: f64,
    dollars: f64,
}

fn estimate(asked: &Asked, plan: &Plan) -> anyhow::Result<Estimate> {
    let by_time =
        asked.pace.duration.zip(asked.pace.rate).map(|(duration, rate)| duration.as_secs_f64() * rate);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of files, for people"
    )]
    let by_time = by_time.map(|files| files.ceil() as u64);
    let files = match (asked.pace.files, by_time) {
        (Some(files), Some(by_time)) => files.min(by_time),
        (Some(files), None) | (None, Some(files)) => files,
        (None, None) => {
            let text =
                "how much would be sent can't be told beforehand: give --files, or --rate with --duration";
            return Err(UsageError(text.into()).into());
        }
    };
    let looked_at = files.min(LOOKED_AT);
    let sizes = (0..looked_at).map(|number| anyhow::Ok(Text::new(&plan.file(number).spec)?.bytes()));
    let sizes = sizes.collect::<anyhow::Result<Vec<u64>>>()?;
    let whole: u64 = sizes.iter().sum();
    let scale = files as f64 / looked_at as f64;
    let processed = cost(sizes.iter().map(|size| Bill::expected(*size)), asked.memory_mib, whole);
    let sending: f64 = sizes.iter().map(|size| of_sending(*size)).sum();
    Ok(Estimate { files, text_bytes: whole as f64 * scale, dollars: (processed.total + sending) * scale })
}

/// Whether the money may be spent.
pub(crate) fn agreed(
    args: &Args,
    asked: &Asked,
    plan: &Plan,
    stack: &str,
    terminal: &Terminal,
) -> anyhow::Result<bool> {
    let estimate = estimate(asked, plan)?;
    terminal.note(&format!(
        "This sends {} files, {} of text, to the stack {stack}. By AWS's list prices that costs about ${:.2}: the functions' \
         seconds at {} MiB and 75 MB/s, and the requests to S3, Lambda, SNS and SQS. On top come ${:.4} a month for what is \
         stored, input and output, until you delete it, and what leaves AWS where a compressed output is read back here.",
        estimate.files,
        bytes(estimate.text_bytes),
        estimate.dollars,
        asked.memory_mib,
        estimate.text_bytes * 2.0 / 1e9 * 0.023,
    ));
    if args.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(UsageError("there is nobody to ask: --yes agrees".into()).into());
    }
    terminal.note("Go on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        terminal.note("nothing was sent");
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn estimated(line: &str) -> anyhow::Result<Estimate> {
        let words = ["run", "--target", "stage", "--stack", "s"].into_iter().chain(line.split_whitespace());
        let asked = Cli::try_parse_from(words).unwrap().args.check()?;
        estimate(&asked, &asked.plan("r".into())?)
    }

    #[test]
    fn the_estimate_grows_with_files_size_and_time() {
        let one = estimated("--size 1GiB").unwrap();
        assert_eq!(one.files, 1);
        assert!(one.dollars > 0.001 && one.dollars < 0.01, "{one:?}");
        let many = estimated("--size 1GiB --files 1000").unwrap();
        assert!((many.dollars / one.dollars - 1000.0).abs() < 1.0, "{many:?}");
        assert_eq!(estimated("--size 1MiB --rate 2 --duration 1m").unwrap().files, 120);
        assert_eq!(estimated("--size 1MiB --rate 2 --duration 1m --files 7").unwrap().files, 7);
    }

    #[test]
    fn what_has_no_end_is_not_begun() {
        assert!(estimated("--duration 1h").unwrap_err().is::<UsageError>());
    }
}
