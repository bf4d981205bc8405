//! The functions as Lambda takes them: a zip each, with the release binary in it as `bootstrap`.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use common::config::environment;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::group::Group;
use crate::terminal::Terminal;
use crate::workspace;

/// The functions' binaries.
pub(super) const NAMES: [&str; 2] = ["processor", "consumer"];

/// The functions' code by binary name, ready to be uploaded.
pub(super) type Zips = BTreeMap<&'static str, Bytes>;

/// Brings the functions up to date with their source, and packs them.
///
/// Cargo decides what is stale. Without cargo or the repository, the binaries beside this one are taken.
pub(super) async fn pack(terminal: &Terminal) -> anyhow::Result<Zips> {
    let binaries = match workspace::root() {
        Some(root) => build(&root, terminal).await?,
        None => None,
    };
    let binaries = binaries.map_or_else(beside_this_one, Ok)?;
    binaries.into_iter().map(|(name, path)| Ok((name, zip(&path)?))).collect()
}

type Binaries = BTreeMap<&'static str, PathBuf>;

/// Builds them; none when there is no cargo.
async fn build(root: &Path, terminal: &Terminal) -> anyhow::Result<Option<Binaries>> {
    // `cargo run` says which cargo it is.
    let cargo = environment("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    // All three packages that `cargo run` builds: cargo then unifies the same features and builds nothing twice.
    command.args(["build", "--release", "-p", "local", "-p", "processor", "-p", "consumer", "--bins"]);
    command.args(["--message-format", "json-render-diagnostics"]).current_dir(root);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    // `cargo run` and `cargo test` describe this package to this process in variables that build scripts watch (ring's
    // does): handed on, they would make cargo build all of it again.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(describes_a_package)) {
        command.env_remove(name);
    }
    let mut group = match Group::spawn(&mut command) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        group => group.with_context(|| format!("start {cargo}"))?,
    };
    terminal.step("building the functions (cargo build --release)");
    let mut binaries = Binaries::new();
    let stdout = group.child().stdout.take().context("read what cargo says")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.context("read what cargo says")? {
        binaries.extend(executable(&line));
    }
    let status = group.wait().await.context("wait for cargo")?;
    if !status.success() {
        bail!("cargo could not build the functions ({status})");
    }
    for name in NAMES {
        if !binaries.contains_key(name) {
            bail!("cargo built no binary {name}");
        }
    }
    Ok(Some(binaries))
}

fn describes_a_package(variable: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let names = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    prefixes.iter().any(|prefix| variable.starts_with(prefix)) || names.contains(&variable)
}

/// The function's binary that one of cargo's messages tells of.
fn executable(message: &str) -> Option<(&'static str, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let name = NAMES.into_iter().find(|name| target["name"] == *name)?;
    Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
}

fn beside_this_one() -> anyhow::Result<Binaries> {
    let this = std::env::current_exe().context("find this program's file")?;
    let folder = this.parent().context("find this program's folder")?;
    NAMES
        .into_iter()
        .map(|name| {
            let path = folder.join(name);
            if !path.is_file() {
                bail!("there is no cargo to build {name} with, and no {} either", path.display());
            }
            Ok((name, path))
        })
        .collect()
}

/// Stored, not deflated: it never leaves this machine, and a second of deflating is a second of waiting.
fn zip(binary: &Path) -> anyhow::Result<Bytes> {
    let code = std::fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(code.len() + 512)));
    zip.start_file("bootstrap", options).context("begin a zip")?;
    zip.write_all(&code).context("write a zip")?;
    Ok(zip.finish().context("finish a zip")?.into_inner().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_name_the_binaries() {
        let message = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        let found = executable(&message("processor", r#""/t/release/processor""#)).unwrap();
        assert_eq!(found, ("processor", PathBuf::from("/t/release/processor")));
        // The library of the same name has none, and others' binaries are not asked for.
        assert_eq!(executable(&message("processor", "null")), None);
        assert_eq!(executable(&message("penstock", r#""/t/release/penstock""#)), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("not json"), None);
    }

    #[test]
    fn only_what_describes_a_package_is_kept_from_cargo() {
        assert!(["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"].into_iter().all(describes_a_package));
        assert!(!["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "PATH"].into_iter().any(describes_a_package));
    }

    #[test]
    fn the_zip_holds_an_executable_bootstrap() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("processor");
        std::fs::write(&binary, "#!/bin/sh\n").unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(zip(&binary).unwrap())).unwrap();
        assert_eq!(archive.len(), 1);
        let file = archive.by_name("bootstrap").unwrap();
        assert_eq!(file.unix_mode().unwrap() & 0o777, 0o755);
        assert_eq!(file.compression(), CompressionMethod::Stored);
    }
}
