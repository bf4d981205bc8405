//! One run: the buckets as the actors see them, who waits for a turn, and what must hold after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};

use common::contract::{FileEvent, META_SEQUENCER, ObjectRef, Output, Receipt, Sequencer, Status};
use common::store::{
    Body, Condition, ErrorKind, MemoryStore, NewObject, ObjectMeta, Payload, Store as _, StoreError, Upload,
    UploadedPart, Written,
};
use futures::FutureExt as _;
use processor::file::{FileError, Outcome};
use tokio::sync::{Notify, oneshot};

use super::gate::{Step, Turn};
use crate::world::{KEY, OUT};

/// A write of a clean file, of rejects, or of a receipt.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) new: NewObject,
    pub(crate) payload: Payload,
    pub(crate) condition: Condition,
    pub(crate) upload: Option<Upload>,
}

/// What a clean file's `ETag` is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Etags {
    /// Its bytes, as S3 does.
    OfContent,
    /// Each write has its own, as S3 does under KMS.
    OfWrite,
}

/// The world of one run.
pub(crate) struct Run {
    /// The input bucket, which never changes.
    pub(crate) inputs: Arc<MemoryStore>,
    outputs: MemoryStore,
    etags: Etags,
    state: Mutex<State>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    /// Attempts that are neither waiting nor over.
    pub(crate) running: usize,
    pub(crate) waiting: BTreeMap<usize, (Step, oneshot::Sender<Turn>)>,
    /// Actors whose process was killed and not begun again yet.
    pub(crate) crashed: Vec<usize>,
    /// Writes of killed processes that are still on their way.
    pub(crate) late: Vec<(usize, String, Write)>,
    /// Attempts that are over, and how.
    pub(crate) ended: Vec<(usize, Result<Outcome, FileError>)>,
    /// What each actor's attempt has seen so far.
    pub(crate) seen: BTreeMap<usize, u64>,
    /// The outward `ETag` of each object in the output bucket.
    etags: BTreeMap<String, String>,
    uploads: BTreeMap<String, OpenUpload>,
    completed: BTreeMap<String, Written>,
    /// Every receipt that was ever there, in order.
    pub(crate) told: Vec<Receipt>,
    /// The one in the file's own place.
    pub(crate) receipt: Option<Receipt>,
    /// Ids of the messages.
    pub(crate) published: BTreeSet<String>,
    /// What must not be.
    pub(crate) violations: Vec<String>,
}

struct OpenUpload {
    actor: usize,
    new: NewObject,
    parts: BTreeMap<u32, Payload>,
}

pub(crate) fn clean() -> ObjectRef {
    ObjectRef::new(OUT, format!("clean/{KEY}"))
}

pub(crate) fn receipt() -> ObjectRef {
    ObjectRef::new(OUT, format!("receipts/{KEY}.json"))
}

fn refused(kind: ErrorKind) -> StoreError {
    StoreError::new(kind, "refused")
}

impl Run {
    pub(crate) fn new(inputs: Arc<MemoryStore>, etags: Etags) -> Self {
        let outputs = MemoryStore::new();
        Self { inputs, outputs, etags, state: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for the actor's turn.
    pub(crate) async fn turn(&self, actor: usize, step: Step) -> Turn {
        let (sender, turn) = oneshot::channel();
        {
            let mut state = self.lock();
            state.running -= 1;
            state.see(actor, &step);
            state.waiting.insert(actor, (step, sender));
        }
        self.changed.notify_one();
        match turn.await {
            Ok(turn) => turn,
            // The run was given up.
            Err(_) => std::future::pending().await,
        }
    }

    /// What a step showed to the attempt decides what it does next.
    pub(crate) fn saw(&self, actor: usize, what: &(impl Hash + ?Sized)) {
        self.lock().see(actor, what);
    }

    pub(crate) fn crash(&self, actor: usize) {
        let mut state = self.lock();
        state.running -= 1;
        state.crashed.push(actor);
        self.changed.notify_one();
    }

    pub(crate) fn end(&self, actor: usize, outcome: Result<Outcome, FileError>) {
        let mut state = self.lock();
        // An attempt that runs out of time may end while it waits for its turn.
        if state.waiting.remove(&actor).is_none() {
            state.running -= 1;
        }
        state.ended.push((actor, outcome));
        self.changed.notify_one();
    }

    pub(crate) fn write_late(&self, actor: usize, name: String, write: Write) {
        self.lock().late.push((actor, name, write));
    }

    pub(crate) fn head(&self, object: &ObjectRef) -> Option<ObjectMeta> {
        let meta = self.outputs.head(object).now_or_never().unwrap().unwrap()?;
        let etag = self.lock().etags[&object.key].clone();
        Some(ObjectMeta { etag, ..meta })
    }

    pub(crate) fn get(&self, object: &ObjectRef) -> Result<Body, StoreError> {
        let body = self.outputs.get(object, None, None).now_or_never().unwrap()?;
        let etag = self.lock().etags[&object.key].clone();
        Ok(Body { meta: ObjectMeta { etag, ..body.meta }, stream: body.stream })
    }

    /// Writes under the condition, atomically.
    pub(crate) fn apply(&self, actor: usize, name: &str, write: &Write) -> Result<Written, StoreError> {
        let key = &write.new.object.key;
        let mut state = self.lock();
        let upload = write.upload.as_ref().map(|upload| upload.id.clone());
        if let Some(written) = upload.as_ref().and_then(|id| state.completed.get(id)) {
            return Ok(written.clone());
        }
        match (&write.condition, state.etags.get(key)) {
            (Condition::Always, _) | (Condition::IfAbsent, None) => {}
            (Condition::IfMatch(etag), Some(current)) if etag == current => {}
            (Condition::IfMatch(_), None) => return Err(refused(ErrorKind::NotFound)),
            _ => return Err(refused(ErrorKind::Precondition)),
        }
        if let Some(id) = &upload
            && state.uploads.remove(id).is_none()
        {
            return Err(refused(ErrorKind::NotFound));
        }
        drop(state);
        let is_receipt = key.starts_with("receipts/");
        let told: Option<Receipt> =
            is_receipt.then(|| serde_json::from_slice(&write.payload.chunks.concat()).unwrap());
        self.check_write(write, told.as_ref());
        let put = self.outputs.put(&write.new, write.payload.clone(), &Condition::Always);
        let inner = put.now_or_never().unwrap()?.etag;
        // Rejects are the same whoever writes them; receipts hold their time, so none is like another.
        let etag = if is_receipt || self.etags == Etags::OfWrite { name.to_owned() } else { inner };
        let written = Written { etag: etag.clone(), version_id: None };
        let mut state = self.lock();
        state.etags.insert(key.clone(), etag);
        state.completed.extend(upload.map(|id| (id, written.clone())));
        if write.new.object == receipt() {
            state.receipt.clone_from(&told);
        }
        state.told.extend(told);
        drop(state);
        self.check_now(&format!("{actor} wrote {key}"));
        Ok(written)
    }

    pub(crate) fn begin_upload(&self, actor: usize, new: &NewObject, id: String) -> Upload {
        let upload = OpenUpload { actor, new: new.clone(), parts: BTreeMap::new() };
        self.lock().uploads.insert(id.clone(), upload);
        Upload { object: new.object.clone(), id }
    }

    pub(crate) fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let open = state.uploads.get_mut(&upload.id).ok_or_else(|| refused(ErrorKind::NotFound))?;
        open.parts.insert(number, payload);
        Ok(())
    }

    pub(crate) fn assemble(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
    ) -> Result<(NewObject, Payload), StoreError> {
        let state = self.lock();
        let open = state.uploads.get(&upload.id).ok_or_else(|| refused(ErrorKind::NotFound))?;
        let chunks: Vec<_> = parts.iter().flat_map(|part| open.parts[&part.number].chunks.clone()).collect();
        let payload = Payload::new(chunks.concat().into());
        assert_eq!(payload.crc64nvme, crc64nvme);
        Ok((open.new.clone(), payload))
    }

    pub(crate) fn abort_upload(&self, upload: &Upload) {
        self.lock().uploads.remove(&upload.id);
    }

    /// Actors whose uploads are open.
    pub(crate) fn open_uploads(&self) -> Vec<usize> {
        self.lock().uploads.values().map(|upload| upload.actor).collect()
    }

    pub(crate) fn publish(&self, event: FileEvent) {
        let mut state = self.lock();
        if !state.told.iter().any(|receipt| receipt.event_id == event.id) {
            state.violations.push(format!("a message of {}, which no receipt ever told", event.id));
        }
        state.published.insert(event.id);
    }

    /// What no write may do to what is there before it.
    fn check_write(&self, write: &Write, told: Option<&Receipt>) {
        let object = &write.new.object;
        let sequencer = |meta: &BTreeMap<String, String>| meta.get(META_SEQUENCER).cloned().map(Sequencer);
        if *object == clean()
            && let Some(before) = self.head(object)
            && goes_back(sequencer(&before.metadata).as_ref(), sequencer(&write.new.metadata).as_ref())
        {
            self.lock().violations.push("an older clean file replaced a newer one".into());
        }
        let mut state = self.lock();
        if let (Some(before), Some(after), true) = (&state.receipt, told, *object == receipt()) {
            let (before, after) = (before.clone(), after.clone());
            if goes_back(before.source.sequencer.as_ref(), after.source.sequencer.as_ref()) {
                state.violations.push("an older receipt replaced a newer one".into());
            }
            let fails = (before.status, after.status) == (Status::Processed, Status::Failed);
            if fails && before.source.is_same(&after.source) {
                state.violations.push("a failure replaced the success of the same source".into());
            }
        }
    }

    /// A `processed` receipt names the output that is there, or that output was replaced by one that is not older as far
    /// as anyone can tell, and whose receipt is still to come.
    fn check_now(&self, when: &str) {
        let Some(receipt) = self.lock().receipt.clone().filter(|receipt| receipt.status == Status::Processed)
        else {
            return;
        };
        let output = &receipt.outputs[0];
        let problem = match self.head(&clean()) {
            None => Some("names an output that is not there"),
            Some(meta) if is_named(&meta, output) => None,
            Some(meta) => {
                let theirs = meta.metadata.get(META_SEQUENCER).cloned().map(Sequencer);
                let is_older = goes_back(receipt.source.sequencer.as_ref(), theirs.as_ref());
                is_older.then_some("names an output that an older one replaced")
            }
        };
        if let Some(problem) = problem {
            let name = &receipt.event_id[..4];
            self.lock().violations.push(format!("after {when}: the receipt of {name} {problem}"));
        }
        let receipts_differ = |theirs: &Receipt| {
            let bytes = |receipt: &Receipt| receipt.outputs[0].checksum_crc64nvme.clone();
            theirs.status == Status::Processed
                && theirs.event_id == receipt.event_id
                && bytes(theirs) != bytes(&receipt)
        };
        let mut state = self.lock();
        if state.told.iter().any(receipts_differ) {
            state.violations.push(format!("after {when}: one event, two outputs"));
        }
    }

    /// All that decides what can still happen.
    pub(crate) fn digest(&self, actors: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        actors.hash(&mut hasher);
        self.head(&clean()).map(|meta| (meta.etag, meta.metadata)).hash(&mut hasher);
        let state = self.lock();
        for output in state.receipt.iter().flat_map(|receipt| &receipt.outputs) {
            output.etag.hash(&mut hasher);
        }
        for (key, etag) in state.etags.iter().filter(|(key, _)| key.starts_with("receipts/")) {
            (key, etag).hash(&mut hasher);
        }
        state.seen.hash(&mut hasher);
        for (actor, (step, _)) in &state.waiting {
            (actor, step).hash(&mut hasher);
        }
        for (actor, name, write) in &state.late {
            (actor, name, &write.new.object.key).hash(&mut hasher);
        }
        let told: BTreeSet<_> =
            state.told.iter().map(|receipt| (&receipt.event_id, receipt.outputs.len())).collect();
        told.hash(&mut hasher);
        state.published.hash(&mut hasher);
        hasher.finish()
    }
}

impl State {
    fn see(&mut self, actor: usize, what: &(impl Hash + ?Sized)) {
        let seen = self.seen.entry(actor).or_default();
        let mut hasher = DefaultHasher::new();
        (*seen).hash(&mut hasher);
        what.hash(&mut hasher);
        *seen = hasher.finish();
    }
}

/// Whether the receipt's output is this object.
pub(crate) fn is_named(meta: &ObjectMeta, output: &Output) -> bool {
    meta.etag == output.etag
        && meta.size == output.size
        && meta.checksum_crc64nvme.as_ref() == Some(&output.checksum_crc64nvme)
}

/// Whether what comes after is known to be older than what was before.
pub(crate) fn goes_back(before: Option<&Sequencer>, after: Option<&Sequencer>) -> bool {
    matches!((before, after), (Some(before), Some(after)) if before.is_later_than(after))
}
