//! Asks before money is spent.

use local::confirm::confirm;
use local::ending::UsageError;
use local::terminal::Terminal;

use super::args::{Args, Asked};
use super::cost::{Bill, cost, of_sending};
use super::plan::Plan;
use super::volume::Volume;
use crate::report::{bytes, files};

/// What a run will cost, about.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Estimate {
    files: u64,
    text_bytes: f64,
    dollars: f64,
}

fn estimate(asked: &Asked, plan: &Plan) -> anyhow::Result<Estimate> {
    let volume = Volume::of(plan, &asked.pace)?;
    let Some(files) = volume.files else {
        let text = "how much would be sent can't be told beforehand: give --files, or --rate with --duration";
        return Err(UsageError(text.into()).into());
    };
    let bills = volume.sizes.iter().map(|size| Bill::expected(*size));
    let sending: f64 = volume.sizes.iter().map(|size| of_sending(*size)).sum();
    let dollars = cost(bills, asked.memory_mib, volume.sizes.iter().sum()).total + sending;
    let scale = files as f64 / volume.sizes.len() as f64;
    Ok(Estimate { files, text_bytes: volume.mean_bytes() * files as f64, dollars: dollars * scale })
}

/// Whether the money may be spent.
pub(crate) async fn agreed(
    args: &Args,
    asked: &Asked,
    plan: &Plan,
    stack: &str,
    terminal: &Terminal,
) -> anyhow::Result<bool> {
    let estimate = estimate(asked, plan)?;
    terminal.note(&format!(
        "This sends {}, {} of text, to the stack {stack}. By AWS's list prices that costs {}: the functions' \
         seconds at {} MiB and 75 MB/s, and the requests to S3, Lambda, SNS and SQS. On top come ${:.4} a month for what is \
         stored, input and output, until you delete it, and what leaves AWS where a compressed output is read back here.",
        files(estimate.files),
        bytes(estimate.text_bytes),
        about(estimate.dollars),
        asked.memory_mib,
        estimate.text_bytes * 2.0 / 1e9 * 0.023,
    ));
    confirm("Send them?", args.yes, terminal).await
}

fn about(dollars: f64) -> String {
    if dollars < 0.01 { "less than $0.01".into() } else { format!("about ${dollars:.2}") }
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
    fn no_run_is_said_to_be_free() {
        assert_eq!((about(0.004), about(1.5)), ("less than $0.01".into(), "about $1.50".into()));
    }

    #[test]
    fn what_has_no_end_is_not_begun() {
        assert!(estimated("--duration 1h").unwrap_err().is::<UsageError>());
    }
}
