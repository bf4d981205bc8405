//! What is happening, on standard error: a line a file that changes in place, or a plain line a change.

use std::time::Duration;

use console::Style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::Terminal;

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way into the input bucket.
    Uploading,
    /// Uploaded; the processor's receipt is awaited.
    Processing,
    /// Receipt seen; the consumer's catalogue entry is awaited.
    Cataloguing,
    /// Catalogue entry seen.
    Catalogued,
    /// Nothing more is awaited, though it should have come.
    Stuck,
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Processing => "uploaded, processing",
            Self::Cataloguing => "receipt written, cataloguing",
            Self::Catalogued => "catalogued",
            Self::Stuck => "stuck",
        }
    }
}

/// The progress of all files.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    terminal: &'a Terminal,
    files: Vec<(String, Option<ProgressBar>)>,
}

impl<'a> Progress<'a> {
    /// Begins to show the files with these keys.
    pub(super) fn new<'k>(keys: impl Iterator<Item = &'k str>, terminal: &'a Terminal) -> Self {
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        let width = keys.iter().map(|key| console::measure_text_width(key)).max().unwrap_or_default();
        let style = ProgressStyle::with_template(&format!(
            "  {{spinner}} {{prefix:{width}}}  {{msg}} {{elapsed:.dim}}"
        ));
        let bar = |key: &str| {
            let bar = terminal.bars().add(ProgressBar::new_spinner());
            if let Ok(style) = &style {
                bar.set_style(style.clone());
            }
            bar.set_prefix(key.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        };
        let files = keys.into_iter().map(|key| {
            let bar = terminal.draws().then(|| bar(&key));
            (key, bar)
        });
        Self { terminal, files: files.collect() }
    }

    /// Shows how far the file at `index` has come.
    pub(super) fn reached(&self, index: usize, stage: Stage) {
        match self.files.get(index) {
            Some((_, Some(bar))) => {
                bar.set_message(stage.text());
                if matches!(stage, Stage::Catalogued | Stage::Stuck) {
                    bar.finish();
                }
            }
            Some((key, None)) => {
                let dim = Style::new().for_stderr().dim();
                self.terminal.note(&format!("  {key}: {}", dim.apply_to(stage.text())));
            }
            None => {}
        }
    }
}

impl Drop for Progress<'_> {
    /// The result follows and says it all again.
    fn drop(&mut self) {
        for (_, bar) in &self.files {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        }
    }
}
