//! Where a generated file goes: a file that appears whole or not at all, standard output, or an object in S3 by parts,
//! with no disk between.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use common::aws;
use common::contract::ObjectRef;
use common::store::{Condition, NewObject, Store};
use common::write::{ObjectWriter, WritePlan};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use super::pack::pack;
use super::{Compression, Spec, Text};

/// Pieces on their way to S3, besides the parts of the upload.
const PIECES_BEHIND: usize = 2;

/// Bytes of a part at first: five of them are in memory.
const PART_BYTES: u64 = 16 * 1024 * 1024;
const PARTS_IN_FLIGHT: usize = 4;

/// Parts grow up to this where an object has thousands: S3's largest object is 5 TiB.
const MAX_PART_BYTES: u64 = 512 * 1024 * 1024;

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
    /// An object.
    Object(ObjectRef),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("s3://") {
            Some(_) => object(text).map(Self::Object),
            None if text == "-" => Ok(Self::Stdout),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// Reads `s3://bucket/key`.
pub(crate) fn object(text: &str) -> Result<ObjectRef, String> {
    match text.strip_prefix("s3://").and_then(|place| place.split_once('/')) {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(ObjectRef::new(bucket, key)),
        _ => Err(format!("{text:?} is not of the form s3://bucket/key")),
    }
}

/// What is made, by how many threads, and who hears of it.
pub(super) struct Job {
    pub(super) spec: Spec,
    pub(super) text: Arc<Text>,
    pub(super) threads: usize,
    /// Set to end it early.
    pub(super) stop: Arc<AtomicBool>,
    /// Gets how many rows are made, again and again.
    pub(super) made: Box<dyn Fn(u64) + Send + Sync>,
}

impl Job {
    /// Makes the file. Nothing of it is visible before all of it is there. The bytes it has.
    pub(super) async fn write_to(self, output: &Output) -> anyhow::Result<u64> {
        match output {
            Output::Stdout if io::stdout().is_terminal() => {
                bail!("this is a terminal: name a file by --output, or lead standard output elsewhere")
            }
            Output::Stdout => self.apart(|job| Ok(job.write(&mut io::stdout().lock())?)).await,
            Output::File(path) => {
                let path = path.clone();
                self.apart(move |job| job.write_file(&path)).await
            }
            Output::Object(object) => {
                let store = Arc::new(aws::s3_store(&aws::sdk_config().await));
                self.upload(store, object).await
            }
        }
    }

    /// Does work that keeps a thread busy on one that may be.
    async fn apart(
        self,
        work: impl FnOnce(&Self) -> anyhow::Result<u64> + Send + 'static,
    ) -> anyhow::Result<u64> {
        tokio::task::spawn_blocking(move || work(&self)).await.context("the thread that writes died")?
    }

    /// Makes the pieces, and hands each on.
    fn pieces(&self, mut take: impl FnMut(Vec<u8>) -> io::Result<Vec<u8>>) -> io::Result<()> {
        pack(&self.text, self.spec.compression, self.threads, |piece, rows| {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let piece = take(piece)?;
            (self.made)(rows);
            Ok(piece)
        })
    }

    fn write(&self, output: &mut impl Write) -> io::Result<u64> {
        let mut bytes = 0;
        self.pieces(|piece| {
            output.write_all(&piece)?;
            bytes += piece.len() as u64;
            Ok(piece)
        })?;
        output.flush()?;
        Ok(bytes)
    }

    fn write_file(&self, path: &Path) -> anyhow::Result<u64> {
        let what = || format!("write {}", path.display());
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            // A device or a pipe is written to, never replaced.
            let mut device = std::fs::File::options().write(true).open(path).with_context(what)?;
            return self.write(&mut device).with_context(what);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .with_context(what)?;
        let bytes = self.write(NamedTempFile::as_file_mut(&mut file)).with_context(what)?;
        file.persist(path).with_context(what)?;
        Ok(bytes)
    }

    /// Sends the file to a store. An error, or this dropped, aborts the upload.
    pub(super) async fn upload(self, store: Arc<dyn Store>, object: &ObjectRef) -> anyhow::Result<u64> {
        let plan = WritePlan {
            part_bytes: PART_BYTES,
            max_part_bytes: MAX_PART_BYTES,
            in_flight: PARTS_IN_FLIGHT,
            ..WritePlan::default()
        };
        let content_type = match self.spec.compression {
            Compression::None => "text/csv",
            Compression::Gzip | Compression::Bgzip => "application/gzip",
            Compression::Zstd => "application/zstd",
        };
        let metadata = self.spec.metadata(&self.text);
        let new = NewObject { object: object.clone(), content_type, metadata };
        let mut writer = ObjectWriter::new(store, new, plan);
        let (sender, mut pieces) = mpsc::channel(PIECES_BEHIND);
        let made = tokio::task::spawn_blocking(move || {
            self.pieces(|piece| {
                // Whoever received them met an error of their own.
                sender.blocking_send(Bytes::from(piece)).map_err(|_gone| io::ErrorKind::BrokenPipe)?;
                Ok(Vec::new())
            })
        });
        while let Some(piece) = pieces.recv().await {
            writer.write(piece).await?;
        }
        made.await.context("the thread that makes rows died")??;
        Ok(writer.finish(&Condition::Always).await?.size)
    }
}
