//! The run's document, from all that was seen.

use std::time::Duration;

use common::receiver::ReceivedSpan;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use local::terminal::Terminal;

use super::args::Asked;
use super::cost::{Bill, cost};
use super::drive::Followed;
use super::judge::{self, Judged, file_run, judge};
use super::machine::machine;
use super::plan::Plan;
use super::world::World;
use crate::report::document::{
    Configuration, FileRun, FileTrace, Repeats, Run, SCHEMA_VERSION, Sample, Totals, Verdict,
};

/// Files whose traces are shown.
const TRACES: usize = 3;
/// Files that are judged at once.
const AT_ONCE: usize = 2;

/// What was seen of the run as a whole.
pub(crate) struct Seen {
    pub(crate) run: String,
    pub(crate) started_at: Timestamp,
    pub(crate) seconds: Duration,
    pub(crate) interrupted: bool,
    pub(crate) unfinished: u64,
    pub(crate) samples: Vec<Sample>,
}

/// Judges each file, and makes the document.
pub(crate) async fn conclude(
    world: &World,
    asked: &Asked,
    plan: &Plan,
    seen: Seen,
    mut files: Vec<Followed>,
    terminal: &Terminal,
) -> anyhow::Result<Run> {
    files.sort_by(|a, b| a.file.key.cmp(&b.file.key));
    let judged = judge_all(world, asked, &files, terminal).await;
    let runs: Vec<FileRun> =
        files.iter().zip(&judged).map(|(followed, judged)| file_run(followed, judged)).collect();
    let mut verdict = Verdict { unfinished: seen.unfinished, ..Verdict::default() };
    judge::left_behind(world, &seen.run, &files, &mut verdict).await?;
    judge::sum_up(&mut verdict, judged);
    let totals = totals(&runs, seen.seconds);
    let bills = runs.iter().filter_map(|file| {
        Some(Bill {
            object_bytes: file.object_bytes,
            output_bytes: file.output_bytes?,
            seconds: file.processor_seconds?,
        })
    });
    let is_seen = !matches!(asked.target, super::args::Target::Stage { .. });
    Ok(Run {
        schema_version: SCHEMA_VERSION,
        penstock_version: env!("CARGO_PKG_VERSION").into(),
        started_at: seen.started_at,
        seconds: seen.seconds.as_secs_f64(),
        interrupted: seen.interrupted,
        configuration: configuration(asked, plan),
        machine: machine(),
        verdict,
        totals,
        repeats: is_seen.then(|| repeats(&world.spans.spans())),
        faults: world.chaos.injected(),
        cost: cost(bills, asked.memory_mib, totals.text_bytes),
        samples: seen.samples,
        traces: if is_seen { traces(&runs, world) } else { Vec::new() },
        files: runs,
    })
}

async fn judge_all(world: &World, asked: &Asked, files: &[Followed], terminal: &Terminal) -> Vec<Judged> {
    let bar = terminal.draws().then(|| {
        let bar = terminal.bars().add(ProgressBar::new(files.len() as u64));
        if let Ok(style) =
            ProgressStyle::with_template("{bar:24} {pos}/{len} files checked against what was generated")
        {
            bar.set_style(style);
        }
        bar
    });
    if bar.is_none() {
        terminal.step("checking the files against what was generated");
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // Several files each have a thread; one alone has them all.
    let threads = (cpus / files.len().clamp(1, AT_ONCE)).max(1);
    let judged = futures::stream::iter(files).map(|followed| async {
        let judged = judge(world, followed, asked.pace.deadline, threads).await;
        if let Some(bar) = &bar {
            bar.inc(1);
        }
        judged
    });
    let judged = judged.buffered(AT_ONCE).collect().await;
    bar.iter().for_each(ProgressBar::finish_and_clear);
    judged
}

fn totals(files: &[FileRun], seconds: Duration) -> Totals {
    let sum = |of: fn(&FileRun) -> Option<u64>| files.iter().filter_map(of).sum();
    let text_bytes = files.iter().filter(|file| file.rows_in.is_some()).map(|file| file.text_bytes).sum();
    Totals {
        files: files.len() as u64,
        object_bytes: sum(|file| Some(file.object_bytes)),
        text_bytes,
        rows_in: sum(|file| file.rows_in),
        rows_out: sum(|file| file.rows_out),
        rows_rejected: sum(|file| file.rows_rejected),
        text_bytes_per_second: text_bytes as f64 / seconds.as_secs_f64().max(1e-9),
        peak_memory_bytes: files.iter().filter_map(|file| file.peak_memory_bytes).max().unwrap_or_default(),
    }
}

fn configuration(asked: &Asked, plan: &Plan) -> Configuration {
    let (target, stack, region) = match &asked.target {
        super::args::Target::Sim => ("sim", None, None),
        super::args::Target::Local => ("local", None, None),
        super::args::Target::Stage { stack, region } => ("stage", Some(stack.clone()), region.clone()),
    };
    Configuration {
        target: target.into(),
        stack,
        region,
        kinds: plan.kinds(),
        concurrency: asked.pace.concurrency as u64,
        rate: asked.pace.rate,
        duration_seconds: asked.pace.duration.map(|duration| duration.as_secs_f64()),
        deadline_seconds: asked.pace.deadline.as_secs(),
        memory_mib: asked.memory_mib,
        chaos: asked.chaos.by_name(),
    }
}

/// What happened more than once, as the spans tell it.
fn repeats(spans: &[ReceivedSpan]) -> Repeats {
    let count = |is: &dyn Fn(&ReceivedSpan) -> bool| spans.iter().filter(|span| is(span)).count() as u64;
    let of = |name: &'static str, outcome: &'static str| {
        count(&|span| span.name.starts_with(name) && span.attribute("penstock.outcome") == outcome)
    };
    let retries = spans.iter().filter_map(|span| span.attribute("penstock.retries").parse::<u64>().ok());
    Repeats {
        republished: of("file", "republished"),
        superseded: of("file", "superseded"),
        processor_retries: of("file", "retry"),
        done_before: of("process ", "done before"),
        consumer_retries: of("process ", "retry") + of("process ", "busy"),
        request_retries: retries.sum(),
    }
}

/// The traces of the slowest files.
fn traces(files: &[FileRun], world: &World) -> Vec<FileTrace> {
    let mut slowest: Vec<&FileRun> = files.iter().filter(|file| !file.trace_id.is_empty()).collect();
    slowest.sort_by(|a, b| b.took().total_cmp(&a.took()));
    let traces = slowest
        .into_iter()
        .take(TRACES)
        .map(|file| FileTrace { key: file.key.clone(), spans: world.spans.of_trace(&file.trace_id) });
    traces.filter(|trace| !trace.spans.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_twice_is_counted_from_the_spans() {
        let span = |name: &str, attributes: &[(&str, &str)]| ReceivedSpan {
            name: name.into(),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..ReceivedSpan::default()
        };
        let spans = [
            span("file", &[("penstock.outcome", "processed")]),
            span("file", &[("penstock.outcome", "republished")]),
            span("file", &[("penstock.outcome", "retry")]),
            span("transfer", &[("penstock.retries", "3")]),
            span("transfer", &[("penstock.retries", "2")]),
            span("process queue", &[("penstock.outcome", "done before")]),
            span("process queue", &[("penstock.outcome", "busy")]),
        ];
        let expected = Repeats {
            republished: 1,
            superseded: 0,
            processor_retries: 1,
            done_before: 1,
            consumer_retries: 1,
            request_retries: 5,
        };
        assert_eq!(repeats(&spans), expected);
    }
}
