//! How commands end, and what their exit codes mean.

use std::process::ExitCode;

use crate::interrupt::Interrupted;

/// How a command that ran to its end turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All is well.
    Done,
    /// Not all is well; what and why has been told.
    Failed,
}

/// What was asked for makes no sense; nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The signal that ends a program without a handler when it writes to a pipe that nobody reads.
const SIGPIPE: u8 = 13;

/// Whoever read the output has gone: there is nobody to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct ClosedPipe;

/// The exit code of a command that did not run to its end.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<UsageError>() {
        return ExitCode::from(2);
    }
    if error.is::<ClosedPipe>() {
        return ExitCode::from(128 + SIGPIPE);
    }
    error
        .downcast_ref::<Interrupted>()
        .map_or(ExitCode::FAILURE, |interrupted| interrupted.exit_code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_exit_codes() {
        let usage = anyhow::Error::new(UsageError("no such file".into()));
        assert_eq!(exit_code(&usage), ExitCode::from(2));
        assert_eq!(exit_code(&anyhow::anyhow!("broken")), ExitCode::FAILURE);
    }
}
