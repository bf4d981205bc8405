//! What AWS asks for: the list prices that docs/operations.md gives, of us-east-1 and arm64, without the free tier.

use crate::report::document::Cost;

/// Dollars for a GB of memory for a second.
const GB_SECOND: f64 = 0.000_013_333_4;
/// Dollars for a request to S3 that writes, and for one that reads.
const PUT: f64 = 0.005 / 1e3;
const GET: f64 = 0.0004 / 1e3;
/// Dollars for a file's requests to Lambda (2), SNS (1) and SQS (about 3), and for its 3 kB of logs.
const REST: f64 = (2.0 * 0.20 + 0.50 + 3.0 * 0.40) / 1e6 + 3e3 / 1e9 * 0.50;
/// A GET's, and a PUT's, bytes.
const PIECE: f64 = 8.0 * 1024.0 * 1024.0;
/// Requests of each kind that a file needs besides.
const BESIDES: f64 = 10.0;
/// GB-seconds of the consumer for a file.
const CONSUMER: f64 = 0.25 * 0.2;
/// What a function's network gives, about, in bytes a second; and what a file takes besides.
const NETWORK: f64 = 75e6;
const BESIDES_SECONDS: f64 = 0.5;

/// A file, as far as it costs something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bill {
    /// Bytes of the input and of the output.
    pub(crate) object_bytes: u64,
    pub(crate) output_bytes: u64,
    /// Of the processor.
    pub(crate) seconds: f64,
}

impl Bill {
    /// Before a file is sent: as if the network set the pace, and the output were as large as the input.
    pub(crate) fn expected(object_bytes: u64) -> Self {
        let seconds = object_bytes as f64 / NETWORK + BESIDES_SECONDS;
        Self { object_bytes, output_bytes: object_bytes, seconds }
    }
}

/// What files cost with a function of so much memory, and for a TB of `text_bytes`.
pub(crate) fn cost(bills: impl Iterator<Item = Bill>, memory_mib: u64, text_bytes: u64) -> Cost {
    let memory_gb = memory_mib as f64 / 1024.0;
    let mut cost = Cost::default();
    for bill in bills {
        let pieces = |bytes: u64| (bytes as f64 / PIECE).ceil() + BESIDES;
        cost.compute += (bill.seconds * memory_gb + CONSUMER) * GB_SECOND;
        cost.s3_requests += pieces(bill.output_bytes) * PUT + pieces(bill.object_bytes) * GET;
        cost.rest += REST;
    }
    cost.total = cost.compute + cost.s3_requests + cost.rest;
    cost.per_tb = if text_bytes > 0 { cost.total / (text_bytes as f64 / 1e12) } else { 0.0 };
    cost
}

/// What it costs to send a file in parts.
pub(crate) fn of_sending(object_bytes: u64) -> f64 {
    ((object_bytes as f64 / PIECE).ceil() + 2.0) * PUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_runbook_comes_out() {
        // One file of 60 GB, 800 s at 75 MB/s, 1,769 MiB: $0.057.
        let bill = Bill { object_bytes: 60_000_000_000, output_bytes: 60_000_000_000, seconds: 800.0 };
        let cost = cost([bill].into_iter(), 1769, 60_000_000_000);
        assert!((cost.compute - 0.0184).abs() < 0.0001, "{cost:?}");
        assert!((cost.total - 0.057).abs() < 0.001, "{cost:?}");
        assert!((cost.per_tb - 0.95).abs() < 0.02, "{cost:?}");
    }

    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(cost(std::iter::empty(), 512, 0), Cost::default());
    }

    #[test]
    fn what_is_expected_is_what_the_network_allows() {
        assert!((Bill::expected(75_000_000_000).seconds - 1000.5).abs() < 1e-6);
        assert!(of_sending(64 << 30) > 0.04);
    }
}
