//! Where clean rows go: one file, or a folder of many.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::contract::Output;
use common::store::checksum_base64;
use engine::Sink;
use engine::recipe::{Piece, Recipe};

use super::folder::{self, Folder};
use super::output::Target;

/// Clean rows on their way.
pub(super) struct Clean {
    path: Option<PathBuf>,
    sink: CleanSink,
}

enum CleanSink {
    One(Box<Target>),
    Many(Folder),
}

/// What has become of them.
#[derive(Default)]
pub(super) struct Written {
    /// The files that were written, if rows were not only counted.
    pub(super) outputs: Vec<Output>,
    /// Of a partitioned output, how many objects there are, and of how many partitions.
    pub(super) partitioned: Option<(usize, usize)>,
}

impl Clean {
    /// What the recipe asks for at this path; without one, rows are counted only.
    pub(super) fn open(path: Option<&Path>, recipe: &Recipe) -> anyhow::Result<Self> {
        let sink = if recipe.is_partitioned() {
            CleanSink::Many(Folder::open(path, recipe.format)?)
        } else {
            CleanSink::One(Box::new(Target::open(path)?))
        };
        Ok(Self { path: path.map(Path::to_owned), sink })
    }

    /// Waits until all is written, and makes it visible.
    pub(super) async fn commit(&mut self) -> anyhow::Result<Written> {
        let path = self.path.as_deref();
        match &mut self.sink {
            CleanSink::One(target) => {
                let (size, crc) = (target.written(), target.crc64nvme());
                target.commit().await?;
                let outputs = path.map(|path| output(path, size, crc)).into_iter().collect();
                Ok(Written { outputs, partitioned: None })
            }
            CleanSink::Many(folder) => {
                let objects = folder.commit().await?;
                let partitioned = Some((objects.len(), folder::partitions(&objects)));
                let outputs = path.into_iter().flat_map(|path| {
                    objects.iter().map(move |object| {
                        let place = path.join(&*object.partition).join(&object.name);
                        output(&place, object.size, object.crc64nvme())
                    })
                });
                Ok(Written { outputs: outputs.collect(), partitioned })
            }
        }
    }
}

impl Sink for Clean {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        match &mut self.sink {
            CleanSink::One(target) => target.write(chunk).await,
            CleanSink::Many(folder) => folder.write(chunk).await,
        }
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        match &mut self.sink {
            CleanSink::One(target) => target.write_piece(piece).await,
            CleanSink::Many(folder) => folder.write_piece(piece).await,
        }
    }
}

/// As a receipt names it.
fn output(path: &Path, size: u64, crc64nvme: u64) -> Output {
    let checksum = checksum_base64(crc64nvme);
    Output {
        bucket: "local".into(),
        key: path.display().to_string(),
        etag: checksum.clone(),
        size,
        checksum_crc64nvme: checksum,
        parts: 0,
    }
}
