//! A question before something changes that is not this machine's.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use crate::ending::UsageError;
use crate::terminal::Terminal;

/// Asks, unless `--yes` was given; where nobody can answer it has to be.
pub async fn confirm(question: &str, yes: bool, terminal: &Terminal) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(format!("{question} Nobody is here to ask: say --yes")).into());
    }
    terminal.note(&format!("{question} [y/N]"));
    let answer = answer().await?;
    let agreed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !agreed {
        terminal.note("nothing was changed");
    }
    Ok(agreed)
}

/// A line of standard input, read by a thread of its own, so that Ctrl-C is heard meanwhile. The runtime would wait for a
/// thread of its own pool.
async fn answer() -> anyhow::Result<String> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).map(|_bytes| line);
        // Whoever asked may have been interrupted.
        drop(send.send(read));
    });
    receive.await.context("wait for the answer")?.context("read the answer")
}
