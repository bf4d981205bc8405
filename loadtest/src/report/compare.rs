//! Two runs, and what of their difference is noise.
//!
//! A run measures some things many times: the rate between samples, the time of each file. What such values leave open
//! is estimated by the bootstrap: each run's values are drawn again, with replacement, many times, and the difference
//! of the medians is taken each time. Where 95 % of these differences do not all lie on one side of nothing, the
//! difference may be noise. That knows nothing of what differs from run to run, such as a machine that others use.

use std::fmt::Write as _;

use super::document::{Run, rank};
use super::summary::counts;
use super::{binary_bytes, bytes, duration, or_none};

/// How often values are drawn again.
const DRAWS: usize = 2000;
/// The same draws for the same runs.
const SEED: u64 = 20_261_125;
/// Fewer values than this say nothing of their noise.
const FEWEST: usize = 5;
/// The most values that are drawn from.
const MOST: usize = 2000;

/// One thing that both runs measured.
#[derive(Debug, Clone)]
pub struct Difference {
    /// What.
    pub name: &'static str,
    /// In each run.
    pub values: [f64; 2],
    /// The change's bounds, in % of the first: 95 % of the draws lie within.
    pub noise: Option<(f64, f64)>,
    unit: fn(f64) -> String,
}

impl Difference {
    /// The change in %.
    pub fn percent(&self) -> f64 {
        percent(self.values[0], self.values[1])
    }

    /// Whether it can be told from noise; unknown where there were too few values.
    pub fn is_real(&self) -> Option<bool> {
        self.noise.map(|(low, high)| low > 0.0 || high < 0.0)
    }

    fn line(&self) -> String {
        let verdict = match (self.is_real(), self.noise) {
            (Some(real), Some((low, high))) => {
                let word = if real { "real" } else { "noise" };
                format!("{word:<5} ({} … {} %)", signed(low), signed(high))
            }
            _ => "one value each".into(),
        };
        let [before, after] = self.values.map(self.unit);
        let change = signed(self.percent());
        format!("{:<28} {before:>12} {after:>12} {change:>8} %  {verdict}", self.name)
    }
}

/// What was nothing before has grown beyond any number.
fn signed(percent: f64) -> String {
    if percent == f64::INFINITY { "+∞".into() } else { format!("{percent:+.1}") }
}

fn percent(before: f64, after: f64) -> f64 {
    if before == 0.0 && after == 0.0 { 0.0 } else { (after / before - 1.0) * 100.0 }
}

/// What both runs measured.
pub fn differences(before: &Run, after: &Run) -> Vec<Difference> {
    let rates = |run: &Run| run.rates().into_iter().map(|(_, rate)| rate).collect::<Vec<_>>();
    let memory = |run: &Run| -> Vec<f64> {
        run.samples.iter().filter_map(|sample| Some(sample.memory_bytes? as f64)).collect()
    };
    let receipt =
        |run: &Run| -> Vec<f64> { run.files.iter().filter_map(|file| file.receipt_seconds).collect() };
    let catalogue =
        |run: &Run| -> Vec<f64> { run.files.iter().filter_map(|file| file.catalogue_seconds).collect() };
    let rate = |value: f64| format!("{}/s", bytes(value));
    let many = [
        many("throughput, median", [rates(before), rates(after)], 0.5, rate),
        many("memory, median", [memory(before), memory(after)], 0.5, binary_bytes),
        many("upload → receipt, median", [receipt(before), receipt(after)], 0.5, duration),
        many("upload → receipt, p90", [receipt(before), receipt(after)], 0.9, duration),
        many("upload → catalogue, median", [catalogue(before), catalogue(after)], 0.5, duration),
        many("upload → catalogue, p90", [catalogue(before), catalogue(after)], 0.9, duration),
    ];
    let one = |name, of: fn(&Run) -> f64, unit: fn(f64) -> String| Difference {
        name,
        values: [of(before), of(after)],
        noise: None,
        unit,
    };
    let single = [
        one("throughput, whole run", |run| run.totals.text_bytes_per_second, rate),
        one("peak memory", |run| run.totals.peak_memory_bytes as f64, binary_bytes),
        one("cost per TB", |run| run.cost.per_tb, |dollars| format!("${dollars:.2}")),
    ];
    many.into_iter().flatten().chain(single).collect()
}

/// Something that was measured many times; nothing where a run lacks it.
fn many(name: &'static str, of: [Vec<f64>; 2], share: f64, unit: fn(f64) -> String) -> Option<Difference> {
    let [before, after] = of.map(|mut values| {
        values.sort_by(f64::total_cmp);
        let step = values.len().div_ceil(MOST).max(1);
        values.into_iter().step_by(step).collect::<Vec<_>>()
    });
    let values = [rank(&before, share)?, rank(&after, share)?];
    let enough = before.len() >= FEWEST && after.len() >= FEWEST;
    let noise = enough.then(|| bootstrap(&before, &after, share)).flatten();
    Some(Difference { name, values, noise, unit })
}

/// Between what bounds 95 % of the drawn differences lie.
fn bootstrap(before: &[f64], after: &[f64], share: f64) -> Option<(f64, f64)> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut draw = |values: &[f64]| {
        let mut drawn: Vec<f64> = (0..values.len()).map(|_| values[random.usize(..values.len())]).collect();
        drawn.sort_by(f64::total_cmp);
        rank(&drawn, share)
    };
    let mut changes = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        changes.push(percent(draw(before)?, draw(after)?));
    }
    changes.sort_by(f64::total_cmp);
    Some((rank(&changes, 0.025)?, rank(&changes, 0.975)?))
}

/// For people: what was configured otherwise, then what was measured.
pub fn text(before: &Run, after: &Run) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
    for (name, before, after) in settings(before, after) {
        line(format!("{name:<28} {before} → {after}"));
    }
    for (run, which) in [(before, "before"), (after, "after")] {
        if !run.verdict.clean {
            line(format!("the run {which} was NOT clean: {}", counts(&run.verdict)));
        }
        if run.interrupted {
            line(format!("the run {which} was broken off"));
        }
    }
    line(format!("{:<28} {:>12} {:>12} {:>10}", "", "before", "after", "change"));
    for difference in differences(before, after) {
        line(difference.line());
    }
    text
}

/// What it is called, and how a run has it.
type Setting = (&'static str, fn(&Run) -> String);

/// What was asked for otherwise, or came from another machine.
fn settings(before: &Run, after: &Run) -> Vec<(&'static str, String, String)> {
    let settings: [Setting; 11] = [
        ("version", |run| run.penstock_version.clone()),
        ("target", |run| run.configuration.target.clone()),
        ("stack", |run| or_none(run.configuration.stack.clone())),
        ("files", |run| run.totals.files.to_string()),
        ("kinds", |run| run.configuration.kinds.join("; ")),
        ("concurrency", |run| run.configuration.concurrency.to_string()),
        ("files begun a second", |run| or_none(run.configuration.rate.map(|rate| rate.to_string()))),
        ("duration", |run| or_none(run.configuration.duration_seconds.map(duration))),
        ("memory, MiB", |run| run.configuration.memory_mib.to_string()),
        ("chaos", |run| {
            let rates = run.configuration.chaos.iter().map(|(fault, rate)| format!("{fault}={rate}"));
            or_none(Some(rates.collect::<Vec<_>>().join(",")).filter(|rates| !rates.is_empty()))
        }),
        ("machine", |run| format!("{} × {}", run.machine.cpus, run.machine.cpu)),
    ];
    let both = settings.into_iter().map(|(name, of)| (name, of(before), of(after)));
    both.filter(|(_, before, after)| before != after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::run;

    #[test]
    fn the_same_run_twice_differs_by_nothing() {
        let run = run(20);
        let differences = differences(&run, &run);
        assert_eq!(differences.len(), 9);
        assert!(differences.iter().all(|difference| difference.percent() == 0.0));
        assert!(differences.iter().all(|difference| difference.is_real() != Some(true)));
        assert!(!text(&run, &run).contains('→') || text(&run, &run).contains("upload →"));
    }

    #[test]
    fn a_change_beyond_the_noise_is_told_from_one_within() {
        let before = run(40);
        let mut slower = before.clone();
        let mut shaken = before.clone();
        for (index, file) in slower.files.iter_mut().enumerate() {
            file.receipt_seconds = file.receipt_seconds.map(|seconds| seconds * 2.0);
            shaken.files[index].receipt_seconds =
                file.receipt_seconds.map(|seconds| seconds / 2.0 + if index % 2 == 0 { 0.05 } else { -0.05 });
        }
        let median = |after: &Run| {
            let all = differences(&before, after);
            all.into_iter().find(|difference| difference.name == "upload → receipt, median").unwrap()
        };
        assert_eq!(median(&slower).is_real(), Some(true));
        assert!((median(&slower).percent() - 100.0).abs() < 1.0);
        assert_eq!(median(&shaken).is_real(), Some(false));
    }

    #[test]
    fn what_was_nothing_has_no_percentage() {
        let mut before = run(3);
        before.cost.per_tb = 0.0;
        let text = text(&before, &run(3));
        assert!(text.contains("+∞ %") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn one_file_has_no_noise_to_tell() {
        let all = differences(&run(1), &run(1));
        let receipt = all.iter().find(|difference| difference.name.starts_with("upload")).unwrap();
        assert_eq!(receipt.is_real(), None);
    }

    #[test]
    fn other_settings_are_said() {
        let mut other = run(3);
        other.configuration.concurrency = 8;
        other.configuration.chaos = [("kill".to_owned(), 0.1), ("torn".to_owned(), 0.5)].into();
        other.verdict.clean = false;
        other.verdict.lost = 2;
        other.interrupted = true;
        let text = text(&run(3), &other);
        for line in [
            "concurrency                  4 → 8",
            "chaos                        none → kill=0.1,torn=0.5",
            "the run after was NOT clean: 2 lost, 0 doubled",
            "the run after was broken off",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
