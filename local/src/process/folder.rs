//! A partitioned output on this machine: a folder that appears whole or not at all.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use engine::Sink;
use engine::recipe::{FormatWord, Piece, suffix};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::output::{behind_links, temporary_folder_beside};
use crate::ending::UsageError;

/// The longest name of a folder, in bytes, as file systems have it.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// Pieces on their way to the disk.
const PIECES_BEHIND: usize = 2;

/// A sink for a partitioned output. Dropped without [`Folder::commit`] it leaves nothing.
pub(super) struct Folder {
    /// Nothing once all pieces have come.
    pieces: Option<mpsc::Sender<Piece>>,
    thread: Option<JoinHandle<()>>,
    /// What the thread ends with; nothing once that was looked at.
    objects: Option<oneshot::Receiver<io::Result<Vec<Object>>>>,
    /// What becomes the folder, and where that will be; nothing if rows are counted only.
    place: Option<(TempDir, PathBuf)>,
}

/// One of its files.
pub(super) struct Object {
    /// Its partition, such as `country=DE`.
    pub(super) partition: Arc<str>,
    /// Its name, behind the partition's.
    pub(super) name: String,
    pub(super) size: u64,
    crc: Digest,
}

impl Object {
    /// Its CRC-64/NVME.
    pub(super) fn crc64nvme(&self) -> u64 {
        self.crc.finalize()
    }
}

impl Folder {
    /// Begins to write what will be the folder `path`; without one, rows are counted only.
    pub(super) fn open(path: Option<&Path>, format: FormatWord) -> anyhow::Result<Self> {
        let place = path
            .map(|path| {
                let path = behind_links(path);
                anyhow::Ok((temporary_folder_beside(&path)?, path))
            })
            .transpose()?;
        let root = place.as_ref().map(|(temporary, _)| temporary.path().to_owned());
        let (pieces, received) = mpsc::channel(PIECES_BEHIND);
        let (done, objects) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // Nobody waits for them if the run has failed.
            _ = done.send(Objects { root, format, all: Vec::new(), ended: 0 }.take_all(received));
        });
        Ok(Self { pieces: Some(pieces), thread: Some(thread), objects: Some(objects), place })
    }

    /// Waits until all is written, and makes it visible.
    pub(super) async fn commit(&mut self) -> anyhow::Result<Vec<Object>> {
        self.pieces = None;
        let objects = self.written().await.context("write the output")?;
        if let Some((temporary, path)) = self.place.take() {
            // An empty folder that lies there is replaced; one that has got files meanwhile is not.
            fs::rename(temporary.path(), &path).with_context(|| format!("create {}", path.display()))?;
            _ = temporary.keep();
        }
        Ok(objects)
    }

    /// What the thread has written, once it has ended.
    async fn written(&mut self) -> io::Result<Vec<Object>> {
        let died = || io::Error::other("the thread that writes has ended");
        self.objects.take().ok_or_else(died)?.await.map_err(|_nothing| died())?
    }
}

impl Sink for Folder {
    async fn write(&mut self, _: Bytes) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a partitioned output is not one file"))
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        if let Some(pieces) = &self.pieces
            && pieces.send(piece).await.is_ok()
        {
            return Ok(());
        }
        // The thread has met an error.
        self.written().await.map(|_objects| ())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What the thread still wrote would be left behind. It has a few pieces to write at most.
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// What the thread knows: all files, by their numbers.
struct Objects {
    root: Option<PathBuf>,
    format: FormatWord,
    all: Vec<Object>,
    ended: usize,
}

impl Objects {
    fn take_all(mut self, mut pieces: mpsc::Receiver<Piece>) -> io::Result<Vec<Object>> {
        while let Some(piece) = pieces.blocking_recv() {
            self.take(piece)?;
        }
        if self.ended < self.all.len() {
            return Err(io::Error::other("an object's last piece never came"));
        }
        Ok(self.all)
    }

    fn take(&mut self, piece: Piece) -> io::Result<()> {
        let Piece { object, path, sequence, compression, chunks, is_last } = piece;
        let is_first = object as usize == self.all.len();
        if is_first {
            let name = format!("part-{sequence:04}{}", suffix(self.format, compression));
            let crc = Digest::new(CrcAlgorithm::Crc64Nvme);
            self.all.push(Object { partition: path, name, size: 0, crc });
        }
        let Some(object) = self.all.get_mut(object as usize) else {
            return Err(io::Error::other("an object's number is left out"));
        };
        for chunk in &chunks {
            object.size += chunk.len() as u64;
            object.crc.update(chunk);
        }
        self.ended += usize::from(is_last);
        let Some(root) = &self.root else { return Ok(()) };
        append(&root.join(&*object.partition), &object.name, is_first, &chunks).map_err(|error| {
            io::Error::new(error.kind(), format!("write {}/{}: {error}", object.partition, object.name))
        })
    }
}

/// Appends to a file, which is open no longer than that: there may be as many as there are partitions.
fn append(folder: &Path, name: &str, is_first: bool, chunks: &[Bytes]) -> io::Result<()> {
    let path = folder.join(name);
    let mut file = if is_first {
        fs::create_dir_all(folder)?;
        File::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(
                error.kind(),
                "this file system takes another partition's name for the same, perhaps as it does not tell capitals from \
                 small letters: name a folder on another one",
            ),
            _ => error,
        })?
    } else {
        File::options().append(true).open(path)?
    };
    chunks.iter().try_for_each(|chunk| file.write_all(chunk))
}

/// How many partitions these are of.
pub(super) fn partitions(objects: &[Object]) -> usize {
    objects.iter().map(|object| &object.partition).collect::<HashSet<_>>().len()
}

/// Refuses what can't become the folder of a partitioned output, and files that would lie in it.
pub(super) fn check(path: &Path, others: &[(&str, Option<&Path>)]) -> anyhow::Result<()> {
    let shown = path.display();
    let refuse = |what: String| Err(UsageError(what).into());
    if path == Path::new("-") {
        return refuse(
            "the recipe partitions the output, which becomes many files: name a folder for them (-o DIR), not standard output"
                .into(),
        );
    }
    let is_there = path.symlink_metadata().is_ok();
    if is_there && !path.is_dir() {
        return refuse(format!(
            "{shown} is not a folder, and the recipe partitions the output: name one that is not there yet, or is empty"
        ));
    }
    if is_there {
        let look = || format!("look into {shown}");
        if fs::read_dir(path).with_context(look)?.next().is_some() {
            return refuse(format!(
                "{shown} is not empty, and a partitioned output is never mixed with other files: name a folder that is not \
                 there yet, or empty this one"
            ));
        }
        let real = path.canonicalize().with_context(look)?;
        let device = |path: &Path| path.metadata().map(|meta| meta.dev()).with_context(look);
        // The finished folder is renamed, which no file system can do with its own root.
        if real.parent().is_none_or(|parent| device(parent).ok() != device(&real).ok()) {
            return refuse(format!("{shown} is where a file system begins: name a folder in it"));
        }
    }
    let folder = resolved(path);
    for (name, other) in others {
        if let Some(other) = other
            && resolved(other).starts_with(&folder)
        {
            return refuse(format!(
                "{name} lies in {shown}, which is to hold nothing but the partitions: name a file beside it"
            ));
        }
    }
    Ok(())
}

/// A path, as far as it is there, without links.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_empty| path.to_owned());
    let known = path
        .ancestors()
        .find_map(|known| Some(known.canonicalize().ok()?.join(path.strip_prefix(known).ok()?)));
    known.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use engine::Compression;

    use super::*;

    fn piece(object: u32, path: &str, sequence: u32, text: &'static str, is_last: bool) -> Piece {
        let chunks = vec![Bytes::from_static(text.as_bytes())];
        Piece { object, path: path.into(), sequence, compression: Compression::None, chunks, is_last }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn pieces_come_together_in_a_folder_that_appears_at_last() {
        let beside = tempfile::tempdir().unwrap();
        let path = beside.path().join("out");
        fs::create_dir(&path).unwrap();
        let mut folder = Folder::open(Some(&path), FormatWord::Csv).unwrap();
        for piece in [
            piece(0, "a=1/b=x%2Fy", 0, "one\n", false),
            piece(1, "a=2/b=x", 0, "two\n", true),
            piece(0, "a=1/b=x%2Fy", 0, "three\n", true),
            piece(2, "a=1/b=x%2Fy", 1, "four\n", true),
        ] {
            folder.write_piece(piece).await.unwrap();
        }
        assert!(names(&path).is_empty());
        let objects = folder.commit().await.unwrap();
        assert_eq!(names(beside.path()), ["out"]);
        assert_eq!(names(&path), ["a=1", "a=2"]);
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(read("a=1/b=x%2Fy/part-0000.csv"), "one\nthree\n");
        assert_eq!(read("a=1/b=x%2Fy/part-0001.csv"), "four\n");
        assert_eq!(read("a=2/b=x/part-0000.csv"), "two\n");
        let listed: Vec<_> =
            objects.iter().map(|it| (&*it.partition, it.name.as_str(), it.size, it.crc64nvme())).collect();
        let crc = |text: &str| crc_fast::checksum(CrcAlgorithm::Crc64Nvme, text.as_bytes());
        assert_eq!(
            listed,
            [
                ("a=1/b=x%2Fy", "part-0000.csv", 10, crc("one\nthree\n")),
                ("a=2/b=x", "part-0000.csv", 4, crc("two\n")),
                ("a=1/b=x%2Fy", "part-0001.csv", 5, crc("four\n")),
            ]
        );
        assert_eq!(partitions(&objects), 2);
    }

    #[tokio::test]
    async fn what_is_broken_off_or_fails_leaves_nothing() {
        let beside = tempfile::tempdir().unwrap();
        let path = beside.path().join("out");
        let open = || Folder::open(Some(&path), FormatWord::Csv).unwrap();
        let mut folder = open();
        folder.write_piece(piece(0, "a=1", 0, "one\n", false)).await.unwrap();
        assert_eq!(names(beside.path()).len(), 1);
        drop(folder);
        assert!(names(beside.path()).is_empty());

        // Without its last piece no object is whole.
        let mut folder = open();
        folder.write_piece(piece(0, "a=1", 0, "one\n", false)).await.unwrap();
        assert!(folder.commit().await.is_err());
        drop(folder);

        // As where two names are one to the file system.
        let mut folder = open();
        folder.write_piece(piece(0, "a=1", 0, "one\n", true)).await.unwrap();
        folder.write_piece(piece(1, "a=1", 0, "two\n", true)).await.unwrap();
        let failed = folder.commit().await.map(|_| ()).unwrap_err();
        assert!(format!("{failed:#}").contains("write a=1/part-0000.csv: this file system"), "{failed:#}");
        // Whoever hands on more is told, too.
        assert!(folder.write_piece(piece(2, "a=3", 0, "three\n", true)).await.is_err());
        drop(folder);

        // Somebody else's files came there meanwhile.
        let mut folder = open();
        folder.write_piece(piece(0, "a=1", 0, "one\n", true)).await.unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("theirs"), "").unwrap();
        assert!(folder.commit().await.is_err());
        drop(folder);
        assert_eq!((names(beside.path()), names(&path)), (vec!["out".to_owned()], vec!["theirs".to_owned()]));
    }

    #[test]
    fn what_cannot_become_the_folder_is_refused() {
        let beside = tempfile::tempdir().unwrap();
        let at = |name: &str| beside.path().join(name);
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/file"), "").unwrap();
        std::os::unix::fs::symlink(at("empty"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
        for path in [at("empty"), at("absent"), at("link")] {
            check(&path, &[("--rejects", Some(&at("bad.ndjson"))), ("--receipt", None)]).unwrap();
        }
        let refused = |path: &Path, others: &[(&str, Option<&Path>)]| {
            let error = check(path, others).unwrap_err();
            assert!(error.is::<UsageError>(), "{error:#}");
            error.to_string()
        };
        for path in ["full", "full/file", "dangling"] {
            let said = refused(&at(path), &[]);
            assert!(said.contains(path) && said.contains("not there yet"), "{said}");
        }
        assert!(refused(Path::new("-"), &[]).contains("name a folder"));
        assert!(refused(Path::new("/dev/null"), &[]).contains("not a folder"));
        assert!(refused(Path::new("/proc/self/fdinfo/.."), &[]).contains("not empty"));
        for (path, other) in [("empty", "empty/bad"), ("absent", "absent/a/bad"), ("link", "empty/bad")] {
            let said = refused(&at(path), &[("--rejects", Some(&at(other)))]);
            assert!(said.contains("--rejects") && said.contains("beside"), "{said}");
        }
    }
}
