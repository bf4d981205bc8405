//! A local AWS in a Python environment of its own, made on first use.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::group::Group;
use crate::terminal::Terminal;

/// A program that pip installs, pinned.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    /// As people write it.
    pub name: &'static str,
    /// The package that is it: its version names the folder.
    pub package: &'static str,
    /// What is installed, with hashes.
    pub requirements: &'static str,
    /// The oldest Python that it runs on.
    pub oldest: (u32, u32),
    /// Whether all of it comes built. Where not, pip fetches what builds the rest.
    pub built: bool,
}

/// What everything but the second opinion runs on.
pub(super) const MINISTACK: Pinned = Pinned {
    name: "MiniStack",
    package: "ministack",
    requirements: include_str!("../../ministack-requirements.txt"),
    oldest: (3, 10),
    built: true,
};

/// Names under which a Python may be found; the plain one first, it is the user's choice.
const NAMES: [&str; 6] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
/// Says the version, then whether an environment can be made (Debian packages that part separately).
const PROBE: &str = "import sys; print(*sys.version_info[:2]); import venv, ensurepip; print('venv')";

/// What a Python said to [`PROBE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    version: (u32, u32),
    venv: bool,
}

impl Found {
    fn parse(said: &str) -> Option<Self> {
        let mut words = said.split_whitespace();
        let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { version, venv: words.next() == Some("venv") })
    }

    fn usable(self, oldest: (u32, u32)) -> bool {
        self.version >= oldest && self.venv
    }
}

impl Pinned {
    /// The pinned version.
    pub fn version(&self) -> &'static str {
        let pinned =
            self.requirements.lines().find_map(|line| line.strip_prefix(self.package)?.strip_prefix("=="));
        pinned.and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown")
    }

    /// The Python that has it, installed under `target` if it is not there yet.
    ///
    /// Built under a temporary name and renamed when whole: what has the final name is never half done. Of two that
    /// want it at the same time, one builds and the other waits.
    pub async fn provide(&self, target: &Path, terminal: &Terminal) -> anyhow::Result<PathBuf> {
        let Self { name, package, .. } = self;
        let home = target.join(format!("{package}-{}", self.version()));
        if self.is_whole(&home).await {
            return Ok(python_of(&home));
        }
        let base = self.find().await?;
        std::fs::create_dir_all(target).with_context(|| format!("create {}", target.display()))?;
        let _lock = lock(&target.join(format!(".{package}.lock")), name, terminal).await?;
        if !self.is_whole(&home).await {
            terminal.step(&format!("installing {name} {} (first use only)", self.version()));
            let fresh = tempfile::Builder::new().prefix(&format!(".{package}-")).tempdir_in(target);
            let fresh = fresh.with_context(|| format!("create a folder in {}", target.display()))?;
            self.install(&base, fresh.path()).await?;
            if home.exists() {
                // Another pin, or its Python is gone.
                std::fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
            }
            std::fs::rename(fresh.path(), &home)
                .with_context(|| format!("move {name} to {}", home.display()))?;
            // Its name is gone: there is nothing left to remove.
            drop(fresh.keep());
        }
        Ok(python_of(&home))
    }

    /// Whether this pin is installed there, and its Python still runs.
    async fn is_whole(&self, home: &Path) -> bool {
        let installed = std::fs::read_to_string(home.join("requirements.txt"));
        installed.is_ok_and(|text| text == self.requirements)
            && probe(python_of(home).as_os_str()).await.is_some()
    }

    /// A Python on this machine that is new enough and can make environments.
    async fn find(&self) -> anyhow::Result<PathBuf> {
        let mut unusable = None;
        for name in NAMES {
            match probe(OsStr::new(name)).await {
                Some(found) if found.usable(self.oldest) => return Ok(PathBuf::from(name)),
                Some(found) => unusable = unusable.or(Some((name, found))),
                None => {}
            }
        }
        bail!(self.missing(unusable))
    }

    /// One sentence: what to install.
    fn missing(&self, unusable: Option<(&str, Found)>) -> String {
        let (major, minor) = self.oldest;
        let needed =
            format!("{}, the local AWS, needs python3 {major}.{minor} or newer with venv", self.name);
        let install =
            "install it, for example with `apt install python3 python3-venv` or `brew install python3`";
        match unusable {
            None => format!("{needed}, and no python3 was found: {install}"),
            Some((name, Found { version, .. })) if version < self.oldest => {
                format!("{needed}, and {name} is {}.{}: {install}", version.0, version.1)
            }
            Some((name, _)) => format!("{needed}, and {name} has no venv: {install}"),
        }
    }

    async fn install(&self, base: &Path, home: &Path) -> anyhow::Result<()> {
        let name = self.name;
        run(base, &["-I", "-m", "venv", "--clear"], home)
            .await
            .with_context(|| format!("make a Python environment for {name}"))?;
        let requirements = home.join("requirements.txt");
        // Written under another name first: the final name says that all of it is installed.
        let wanted = home.join("wanted.txt");
        std::fs::write(&wanted, self.requirements).with_context(|| format!("write {}", wanted.display()))?;
        let pip = ["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
        let kinds: &[&str] = if self.built { &["--only-binary", ":all:"] } else { &[] };
        let arguments = [&pip[..], kinds, &["--require-hashes", "-r"]].concat();
        run(&python_of(home), &arguments, &wanted).await.with_context(|| {
            format!(
                "install {name} {} with pip, which needs a network or a package index once",
                self.version()
            )
        })?;
        std::fs::rename(&wanted, &requirements).with_context(|| format!("write {}", requirements.display()))
    }
}

/// Waits until nobody else holds the lock; the system takes it from who ends, however that happens.
async fn lock(path: &Path, name: &str, terminal: &Terminal) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        if !told {
            terminal.step(&format!("waiting for another that is installing {name}"));
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn python_of(home: &Path) -> PathBuf {
    home.join("bin").join("python")
}

async fn probe(python: &OsStr) -> Option<Found> {
    let output = Command::new(python).args(["-I", "-c", PROBE]).stdin(Stdio::null()).output().await.ok()?;
    Found::parse(&String::from_utf8_lossy(&output.stdout))
}

async fn run(program: &Path, arguments: &[&str], last: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).arg(last).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut group = Group::spawn(&mut command).with_context(|| format!("start {}", program.display()))?;
    let stderr = group.child().stderr.take();
    let (status, said) = tokio::join!(group.wait(), tail(stderr));
    let status = status?;
    if !status.success() {
        bail!("{} ended with {status}:\n{said}", program.display());
    }
    Ok(())
}

/// The last lines that a program says.
async fn tail(stream: Option<tokio::process::ChildStderr>) -> String {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    const LINES: usize = 8;
    let mut last = std::collections::VecDeque::with_capacity(LINES);
    let Some(stream) = stream else { return String::new() };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_has_a_version() {
        let version = MINISTACK.version();
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    }

    #[test]
    fn a_python_is_judged_by_what_it_says() {
        let usable = |said| Found::parse(said).unwrap().usable((3, 10));
        assert!(usable("3 10\nvenv\n"));
        assert!(usable("4 0\nvenv\n"));
        assert!(!usable("3 9\nvenv\n"));
        assert!(!usable("3 13\n"));
        assert_eq!(Found::parse("Python was not found"), None);
    }

    #[test]
    fn what_is_missing_is_one_sentence() {
        let old = Found { version: (3, 8), venv: true };
        let bare = Found { version: (3, 11), venv: false };
        let missing = |unusable| MINISTACK.missing(unusable);
        assert!(missing(None).contains("needs python3 3.10 or newer with venv, and no python3 was found"));
        assert!(missing(Some(("python3", old))).contains("python3 is 3.8"));
        assert!(missing(Some(("python3", bare))).contains("python3 has no venv"));
        assert!([missing(None), missing(Some(("python3", old)))].iter().all(|text| !text.contains('\n')));
    }
}
