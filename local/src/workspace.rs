//! Where the repository and its build folder are, if this command still stands beside them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::config::environment;

/// The repository that this command was built from; none when it is no longer there.
pub fn root() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    root.join("Cargo.toml").is_file().then(|| root.to_owned())
}

/// Where cargo builds to, and where MiniStack is kept; without a repository, a folder of the user's cache.
pub fn target() -> anyhow::Result<PathBuf> {
    if let Some(target) = environment("CARGO_TARGET_DIR").filter(|target| !target.is_empty()) {
        return std::path::absolute(&target).with_context(|| format!("find CARGO_TARGET_DIR {target}"));
    }
    if let Some(root) = root() {
        return Ok(root.join("target"));
    }
    let home =
        environment("HOME").context("neither the repository nor HOME is there to keep MiniStack in")?;
    Ok(Path::new(&home).join(".cache").join("penstock"))
}

/// The folder of the sample files.
pub fn samples() -> Option<PathBuf> {
    root().map(|root| root.join("local").join("samples"))
}
