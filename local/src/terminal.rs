//! The one place that writes to the terminal: results to standard output, everything else to standard error.

use std::fmt::Display;

use anyhow::Context as _;
use console::{Style, Term};
use indicatif::{MultiProgress, ProgressDrawTarget};

/// Both streams. Colours are used where the stream is a terminal and `NO_COLOR` is not set.
#[derive(Debug, Clone)]
pub struct Terminal {
    out: Term,
    err: Term,
    bars: MultiProgress,
}

impl Default for Terminal {
    fn default() -> Self {
        let err = Term::buffered_stderr();
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term(Term::stderr(), 12));
        Self { out: Term::stdout(), err, bars }
    }
}

impl Terminal {
    /// A line of the command's result.
    pub fn print(&self, line: &str) -> anyhow::Result<()> {
        self.out.write_line(line).context("write to standard output")
    }

    /// A line about what is being done. One that can't be written is not worth failing for.
    pub fn step(&self, text: &str) {
        self.note(&format!("{} {text}", Style::new().for_stderr().dim().apply_to("·")));
    }

    /// A line of diagnosis.
    pub fn note(&self, line: &str) {
        // Above the progress bars, if there are any.
        self.bars.suspend(|| {
            self.err.write_line(line).ok();
            self.err.flush().ok();
        });
    }

    /// An error and what led to it, once.
    pub fn error(&self, error: &anyhow::Error) {
        let label = Style::new().for_stderr().red().bold();
        self.note(&format!("{} {}", label.apply_to("error:"), chain(error)));
    }

    /// The progress bars' owner.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Whether progress can be drawn.
    pub fn draws(&self) -> bool {
        self.err.is_term()
    }
}

/// An error with its causes, outermost first, without those that only repeat what was said.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause: &(dyn std::error::Error + 'static)| plain(cause)) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn plain(cause: &dyn Display) -> String {
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_but_not_twice() {
        let error =
            anyhow::anyhow!("connection refused").context("connection refused").context("create the bucket");
        assert_eq!(chain(&error), "create the bucket: connection refused");
    }
}
