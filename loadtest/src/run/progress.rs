//! How far the run is, on standard error: one bar for all files and a line for some of those under way, or a plain line
//! every few seconds where there is no terminal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use local::terminal::Terminal;

use super::drive::Known;
use crate::report::{bytes, duration};

/// Files under way that have a line of their own: more would run off the screen.
const LINES: usize = 8;
/// Between plain lines.
pub(crate) const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Uploading,
    Processing,
    Cataloguing,
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Processing => "processing",
            Self::Cataloguing => "cataloguing",
        }
    }
}

/// The progress of all files.
pub(crate) struct Progress {
    terminal: Terminal,
    files: Option<u64>,
    whole: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: u64,
    stuck: u64,
    lines: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Begins to show a run of so many files, if that is known.
    pub(crate) fn new(files: Option<u64>, terminal: &Terminal) -> Self {
        let whole = terminal.draws().then(|| {
            let bar = files.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let bar = terminal.bars().add(bar);
            let template = if files.is_some() {
                "{bar:12} {pos}/{len} files  {wide_msg}"
            } else {
                "{spinner} {pos} files  {wide_msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { terminal: terminal.clone(), files, whole, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is begun.
    pub(crate) fn begin(&self, key: &str) {
        let mut state = self.state();
        if self.whole.is_none() || state.lines.len() >= LINES {
            return;
        }
        let bar = self.terminal.bars().add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix}  {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_prefix(key.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        state.lines.insert(key.to_owned(), bar);
    }

    /// A file has come so far.
    pub(crate) fn reached(&self, key: &str, stage: Stage) {
        if let Some(bar) = self.state().lines.get(key) {
            bar.set_message(stage.text());
        }
    }

    /// A file is through, or stuck.
    pub(crate) fn end(&self, key: &str, through: bool) {
        let mut state = self.state();
        state.done += 1;
        state.stuck += u64::from(!through);
        if let Some(bar) = state.lines.remove(key) {
            bar.finish_and_clear();
        }
        if let Some(whole) = &self.whole {
            whole.set_position(state.done);
        }
    }

    /// What all of it comes to now: bytes read, bytes a second, messages that wait.
    pub(crate) fn tell(&self, known: &Known, read: u64, rate: f64, queue: Option<u64>) {
        let (shown, stuck) = {
            let state = self.state();
            (state.lines.len() as u64, state.stuck)
        };
        let Some(whole) = &self.whole else { return };
        let under_way = known.under_way();
        let shown = Some(shown).filter(|shown| *shown > 0 && *shown < under_way);
        whole.set_message(status(read, rate, (under_way, shown), queue, stuck));
    }

    /// A plain line, where nothing is drawn.
    pub(crate) fn say(&self, known: &Known, read: u64, rate: f64, queue: Option<u64>) {
        if self.whole.is_some() {
            return;
        }
        let state = self.state();
        let of = self.files.map(|files| format!(" of {files}")).unwrap_or_default();
        self.terminal.note(&format!(
            "{}: {}{of} files, {}",
            duration(known.elapsed().as_secs_f64()),
            state.done,
            status(read, rate, (known.under_way(), None), queue, state.stuck),
        ));
    }
}

/// What all of it comes to, in words: bytes read, bytes a second, files under way and how many of them are shown, messages
/// that wait, files that are stuck.
fn status(
    read: u64,
    rate: f64,
    (under_way, shown): (u64, Option<u64>),
    queue: Option<u64>,
    stuck: u64,
) -> String {
    let shown = shown.map(|shown| format!(" ({shown} shown)")).unwrap_or_default();
    let queue = queue.map(|queue| format!(", {queue} queued")).unwrap_or_default();
    let stuck = if stuck > 0 { format!(", {stuck} stuck") } else { String::new() };
    format!("{}, {}/s, {under_way} under way{shown}{queue}{stuck}", bytes(read as f64), bytes(rate))
}

impl Drop for Progress {
    /// The result follows and says it all again.
    fn drop(&mut self) {
        for bar in self.state().lines.values().chain(&self.whole) {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said() {
        assert_eq!(status(1_500, 0.0, (2, None), None, 0), "1.5 kB, 0 B/s, 2 under way");
        assert_eq!(
            status(250_000_000, 5e6, (40, Some(8)), Some(3), 1),
            "250 MB, 5.0 MB/s, 40 under way (8 shown), 3 queued, 1 stuck"
        );
    }
}
