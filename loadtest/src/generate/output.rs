//! Where a generated file goes: a file that appears whole or not at all, standard output, or an object in S3 by parts,
//! with no disk between.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use common::aws;
use common::contract::ObjectRef;
use common::store::{Condition, NewObject, S3Store, Store};
use common::write::{ObjectWriter, WritePlan};
use local::ending::UsageError;
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
pub(crate) enum Output {
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
                let text = "this is a terminal: name a file by --output, or lead standard output elsewhere";
                Err(UsageError(text.into()).into())
            }
            Output::Stdout => self.apart(|job| Ok(job.write(&mut io::stdout().lock())?)).await,
            Output::File(path) => {
                let path = path.clone();
                self.apart(move |job| job.write_file(&path)).await
            }
            Output::Object(object) => {
                let store = Arc::new(S3Store::new(aws::s3_client(&aws::sdk_config().await)));
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

    /// Sends the file to a store. An error aborts the upload.
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
        let mut sent = Ok(());
        while sent.is_ok()
            && let Some(piece) = pieces.recv().await
        {
            sent = writer.write(piece).await;
        }
        drop(pieces);
        let made = made.await.context("the thread that makes rows died")?;
        if let Err(error) = sent.map_err(anyhow::Error::from).and(made.map_err(Into::into)) {
            // A failed clean-up never replaces the cause.
            writer.abort().await.ok();
            return Err(error);
        }
        Ok(writer.finish(&Condition::Always).await?.size)
    }
}

#[cfg(test)]
mod tests {
    use common::store::MemoryStore;
    use futures::TryStreamExt as _;

    use super::*;
    use crate::generate::{Length, Profile};

    fn job(compression: Compression) -> Job {
        let spec = Spec {
            profile: Profile::Orders,
            seed: 7,
            length: Length::Bytes(40_000_000),
            compression,
            dirt: Some("1/100".parse().unwrap()),
        };
        let text = Arc::new(Text::new(&spec).unwrap());
        Job { spec, text, threads: 2, stop: Arc::default(), made: Box::new(|_| ()) }
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!("-".parse(), Ok(Output::Stdout));
        assert_eq!("a/b.csv".parse(), Ok(Output::File("a/b.csv".into())));
        assert_eq!("s3://b/k/l.csv".parse(), Ok(Output::Object(ObjectRef::new("b", "k/l.csv"))));
        assert!("s3://b".parse::<Output>().is_err() && "s3:///k".parse::<Output>().is_err());
    }

    /// More than one part, so that it is an upload.
    #[tokio::test]
    async fn an_object_is_the_file_and_says_what_it_was_made_from() {
        let store = Arc::new(MemoryStore::default());
        let object = ObjectRef::new("bucket", "in/orders.csv");
        let Job { spec, text, .. } = job(Compression::None);
        let bytes = job(Compression::None).upload(store.clone(), &object).await.unwrap();
        assert!(bytes == text.bytes() && bytes > 2 * PART_BYTES);
        let body = store.get(&object, None, None).await.unwrap();
        let metadata = body.meta.metadata;
        let described = Spec::from_metadata(&metadata, None).unwrap();
        assert_eq!(described, Spec { length: Length::Rows(text.rows()), ..spec });
        let chunks: Vec<Bytes> = body.stream.try_collect().await.unwrap();
        let mut file = Vec::new();
        job(Compression::None).write(&mut file).unwrap();
        assert!(chunks.concat() == file);
    }

    #[tokio::test]
    async fn one_that_is_stopped_leaves_nothing() {
        let store = Arc::new(MemoryStore::default());
        let object = ObjectRef::new("bucket", "in/orders.csv");
        let mut stopped = job(Compression::None);
        let (stop, rows) = (Arc::clone(&stopped.stop), stopped.text.rows());
        stopped.made = Box::new(move |made| stop.store(made > rows / 2, Ordering::Relaxed));
        stopped.upload(store.clone(), &object).await.unwrap_err();
        assert!(store.head(&object).await.unwrap().is_none());
        assert_eq!(store.open_uploads(), 0);
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.csv.gz");
        let mut stopped = job(Compression::Gzip);
        let (stop, seen) = (Arc::clone(&stopped.stop), path.clone());
        stopped.made = Box::new(move |_| {
            assert!(!seen.exists());
            stop.store(true, Ordering::Relaxed);
        });
        stopped.write_file(&path).unwrap_err();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        let whole = job(Compression::Gzip);
        let bytes = whole.write_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().len(), bytes);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
