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

/// The exit code of a command that did not run to its end.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<UsageError>() {
        return ExitCode::from(2);
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
