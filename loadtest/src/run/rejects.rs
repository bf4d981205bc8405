//! A file's rejects against those that it must have, each at its place.

use std::io;

use anyhow::Context as _;
use common::contract::{ObjectRef, Rejects};
use common::store::{ErrorKind, Store};
use futures::TryStreamExt as _;
use serde::Deserialize;
use tokio::io::AsyncBufReadExt as _;
use tokio_util::io::StreamReader;

use super::output::Fault;
use crate::generate::{Reject, Text};
use crate::report::document::ProblemKind;

/// Faults that are told of one file.
const TOLD: usize = 20;

/// What is looked at of a line.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "line")]
    number: u64,
    byte_offset: u64,
    byte_length: u64,
    reason: String,
}

impl Line {
    fn is(&self, reject: &Reject) -> bool {
        (self.number, self.byte_offset, self.byte_length, self.reason.as_str())
            == (reject.line, reject.byte_offset, reject.byte_length, reject.reason)
    }
}

/// Everything that is wrong with a file's rejects.
pub(crate) async fn faults(
    store: &dyn Store,
    rejects: Option<&Rejects>,
    text: &Text,
) -> anyhow::Result<Vec<Fault>> {
    let mut wanted = text.rejects().peekable();
    let Some(rejects) = rejects else {
        return Ok(wanted.take(TOLD).map(|reject| lost(&reject)).collect());
    };
    let object = ObjectRef::new(&rejects.bucket, &rejects.key);
    let body = match store.get(&object, None, None).await {
        Ok(body) => body,
        // A simulated store keeps no large object: then their counts, which the receipt has, are what is compared.
        Err(error) if error.kind == ErrorKind::NotFound => {
            return Ok(match store.head(&object).await? {
                Some(_) => Vec::new(),
                None => vec![Fault {
                    kind: ProblemKind::Lost,
                    byte_offset: None,
                    what: format!("{} is not there", rejects.key),
                }],
            });
        }
        Err(error) => return Err(error.into()),
    };
    let mut lines = StreamReader::new(body.stream.map_err(io::Error::other)).lines();
    let mut faults = Vec::new();
    while let Some(line) = lines.next_line().await.with_context(|| format!("read {object}"))? {
        let line: Line = serde_json::from_str(&line).with_context(|| format!("read {object}"))?;
        // Rejects are written in the order of the rows: what was passed over is missing.
        while let Some(missing) = wanted.next_if(|reject| reject.byte_offset < line.byte_offset) {
            faults.push(lost(&missing));
        }
        match wanted.next_if(|reject| reject.byte_offset == line.byte_offset) {
            Some(reject) if line.is(&reject) => {}
            Some(reject) => faults.push(Fault {
                kind: ProblemKind::Wrong,
                byte_offset: Some(line.byte_offset),
                what: format!(
                    "rejected on line {} as {}, and must be on line {} as {}",
                    line.number, line.reason, reject.line, reject.reason
                ),
            }),
            None => faults.push(Fault {
                kind: ProblemKind::Wrong,
                byte_offset: Some(line.byte_offset),
                what: format!(
                    "line {} was rejected as {}, and nothing is wrong with it",
                    line.number, line.reason
                ),
            }),
        }
        if faults.len() >= TOLD {
            return Ok(faults);
        }
    }
    faults.extend(wanted.take(TOLD).map(|reject| lost(&reject)));
    Ok(faults)
}

fn lost(reject: &Reject) -> Fault {
    Fault {
        kind: ProblemKind::Lost,
        byte_offset: Some(reject.byte_offset),
        what: format!(
            "line {} must be rejected as {}, and is not among the rejects",
            reject.line, reject.reason
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use common::store::{Condition, MemoryStore, NewObject, Payload};
    use serde_json::json;

    use super::*;
    use crate::generate::{Compression, Length, Profile, Spec};

    fn text() -> Text {
        let spec = Spec {
            profile: Profile::Taxi,
            seed: 1,
            length: Length::Rows(20_000),
            compression: Compression::None,
            dirt: Some("0.01:ragged".parse().unwrap()),
        };
        Text::new(&spec).unwrap()
    }

    /// What is found of rejects that `spoil` makes of the right ones.
    async fn found(spoil: impl FnOnce(&mut Vec<Reject>)) -> Vec<Fault> {
        let text = text();
        let mut all: Vec<Reject> = text.rejects().collect();
        spoil(&mut all);
        let line = |reject: &Reject| {
            let Reject { line, byte_offset, byte_length, reason, .. } = reject;
            json!({ "line": line, "byte_offset": byte_offset, "byte_length": byte_length, "reason": reason, "raw": "" })
                .to_string()
        };
        let lines: Vec<String> = all.iter().map(line).collect();
        let store = MemoryStore::new();
        let rejects = Rejects {
            bucket: "out".into(),
            key: "rejects/x".into(),
            by_reason: BTreeMap::new(),
            etag: None,
            size: None,
            checksum_crc64nvme: None,
        };
        let object = ObjectRef::new("out", "rejects/x");
        let new = NewObject { object, content_type: "", metadata: [].into() };
        let payload = Payload::new((lines.join("\n") + "\n").into());
        store.put(&new, payload, &Condition::Always).await.unwrap();
        faults(&store, Some(&rejects), &text).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_right_has_no_fault() {
        assert_eq!(found(|_| {}).await, []);
    }

    #[tokio::test]
    async fn a_lost_an_invented_and_a_wrong_one_are_found_at_their_places() {
        let rejects: Vec<Reject> = text().rejects().collect();
        for number in [0, 100, rejects.len() - 1] {
            let place = Some(rejects[number].byte_offset);
            let faults = found(|all| _ = all.remove(number)).await;
            let [fault] = &faults[..] else { unreachable!("one fault: {faults:?}") };
            assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Lost, place));
        }
        let invented = Reject { byte_offset: rejects[7].byte_offset + 1, ..rejects[7] };
        let faults = found(|all| all.insert(8, invented)).await;
        let [fault] = &faults[..] else { unreachable!("one fault: {faults:?}") };
        assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Wrong, Some(invented.byte_offset)));
        let faults = found(|all| all[9].line += 1).await;
        let [fault] = &faults[..] else { unreachable!("one fault: {faults:?}") };
        assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Wrong, Some(rejects[9].byte_offset)));
    }

    #[tokio::test]
    async fn without_an_object_all_are_lost() {
        let faults = faults(&MemoryStore::new(), None, &text()).await.unwrap();
        assert_eq!(faults.len(), TOLD);
        assert!(faults.iter().all(|fault| fault.kind == ProblemKind::Lost));
    }
}
