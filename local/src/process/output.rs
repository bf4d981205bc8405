//! Where bytes go on this machine: a file that appears whole or not at all, standard output, or nowhere.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::Context as _;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use engine::Sink;
use tempfile::{NamedTempFile, TempDir};
use tokio::sync::mpsc;

/// Chunks on their way to the disk.
const CHUNKS_BEHIND: usize = 4;

/// A sink whose bytes are counted and hashed as they pass. Dropped without [`Target::commit`] it leaves no file.
pub(super) struct Target {
    writer: Option<Writer>,
    written: u64,
    crc: Digest,
}

/// A thread that writes, so that writing and parsing use two cores and a full pipe never keeps Ctrl-C waiting.
struct Writer {
    chunks: mpsc::Sender<Bytes>,
    thread: JoinHandle<io::Result<()>>,
    /// The file that is not visible under its name yet; nothing where what is written can't be taken back. Not the thread's:
    /// whoever breaks the run off does not wait for that, and would leave the file behind.
    temporary: Option<NamedTempFile>,
    path: PathBuf,
}

impl Target {
    /// A file, standard output for `-`, or nowhere.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let writer = path.map(Writer::open).transpose()?;
        Ok(Self { writer, written: 0, crc: Digest::new(CrcAlgorithm::Crc64Nvme) })
    }

    /// Bytes taken so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Their CRC-64/NVME.
    pub(super) fn crc64nvme(&self) -> u64 {
        self.crc.finalize()
    }

    /// Waits until all is written, and makes it visible.
    pub(super) async fn commit(&mut self) -> anyhow::Result<()> {
        let Some(Writer { chunks, thread, temporary, path }) = self.writer.take() else { return Ok(()) };
        drop(chunks);
        let sent = tokio::task::spawn_blocking(move || thread.join()).await.context("wait for the writer")?;
        let sent = sent.map_err(|_panic| anyhow::anyhow!("the thread that writes died"))?;
        sent.with_context(|| format!("write {}", name(&path)))?;
        temporary.map_or(Ok(()), |file| persist(file, &path))
    }
}

impl Writer {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let path = &*behind_links(path);
        let what = || format!("create {}", path.display());
        let mut temporary = None;
        let mut file: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            // A device or a pipe is written to, never replaced.
            Box::new(File::options().write(true).open(path).with_context(what)?)
        } else {
            let hidden = temporary_beside(path)?;
            let file = hidden.reopen().with_context(what)?;
            temporary = Some(hidden);
            Box::new(file)
        };
        let (chunks, mut received) = mpsc::channel::<Bytes>(CHUNKS_BEHIND);
        let thread = std::thread::spawn(move || {
            while let Some(chunk) = received.blocking_recv() {
                file.write_all(&chunk)?;
            }
            file.flush()
        });
        Ok(Self { chunks, thread, temporary, path: path.to_owned() })
    }
}

impl Sink for Target {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.written += chunk.len() as u64;
        self.crc.update(&chunk);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        // The thread has ended, so it has met an error.
        let Some(Writer { thread, .. }) = self.writer.take() else { return Ok(()) };
        match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Writes a small file whole or not at all.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return fs::write(path, content).with_context(|| format!("write {}", path.display()));
    }
    let path = &*behind_links(path);
    let mut file = temporary_beside(path)?;
    file.write_all(content).with_context(|| format!("write {}", path.display()))?;
    persist(file, path)
}

/// A file that can become `path` by a rename, with the permissions of the file that it will replace.
fn temporary_beside(path: &Path) -> anyhow::Result<NamedTempFile> {
    create_beside(path, 0o666, |builder, folder| builder.tempfile_in(folder))
}

/// A folder that can become `path` by a rename, with the permissions of the empty one that it will replace.
pub(super) fn temporary_folder_beside(path: &Path) -> anyhow::Result<TempDir> {
    create_beside(path, 0o777, |builder, folder| builder.tempdir_in(folder))
}

fn create_beside<T: AsRef<Path>>(
    path: &Path,
    mode: u32,
    create: impl FnOnce(&mut tempfile::Builder<'_, '_>, &Path) -> io::Result<T>,
) -> anyhow::Result<T> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(folder.is_dir(), "create {}: there is no folder {}", path.display(), folder.display());
    let mut builder = tempfile::Builder::new();
    // As any new one: the umask takes what it takes.
    builder.prefix(".penstock-").permissions(Permissions::from_mode(mode));
    let created = create(&mut builder, folder).and_then(|created| {
        if let Ok(replaced) = path.metadata() {
            fs::set_permissions(created.as_ref(), replaced.permissions())?;
        }
        Ok(created)
    });
    // Without the temporary name, which means nothing to anyone.
    created
        .map_err(|error| io::Error::from(error.kind()))
        .with_context(|| format!("create {}", path.display()))
}

/// A path as people know it.
fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard output".into() } else { path.display().to_string() }
}

/// What a link leads to: that is replaced, not the link.
pub(super) fn behind_links(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_missing| path.to_owned())
}

fn persist(file: NamedTempFile, path: &Path) -> anyhow::Result<()> {
    file.persist(path).map_err(|error| error.error).with_context(|| format!("create {}", path.display()))?;
    Ok(())
}
