//! A question before something changes that is not this machine's.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use crate::ending::UsageError;
use crate::terminal::Terminal;

/// Asks, unless `--yes` was given; where nobody can answer it has to be.
pub fn confirm(question: &str, yes: bool, terminal: &Terminal) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(format!("{question} Nobody is here to ask: say --yes")).into());
    }
    terminal.note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    let agreed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !agreed {
        terminal.note("nothing was changed");
    }
    Ok(agreed)
}
