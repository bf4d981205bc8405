//! What every store must do. local/tests/localstack runs it too, on a server that others wrote.

use bytes::Bytes;
use common::contract::{ByteRange, ObjectRef};
use common::store::{Condition, ErrorKind, Listed, Payload, Store, StoreError, UploadedPart};
use futures::TryStreamExt as _;

use crate::objects::{bytes, new, object, put};

const PART: usize = 5 * 1024 * 1024;

/// All of it. Expects a bucket `bucket`, and one that keeps versions, `versioned`.
pub(crate) async fn suite(store: &dyn Store) {
    what_is_absent_is_said(store).await;
    what_was_put_is_read(store).await;
    ranges_are_read(store).await;
    conditions_hold(store).await;
    versions_are_kept(store).await;
    uploads_appear_whole(store).await;
    uploads_obey_conditions(store).await;
    odd_parts_are_refused(store).await;
    damaged_bytes_are_refused(store).await;
    keys_are_listed(store).await;
    objects_are_removed(store).await;
}

fn kind<T>(result: Result<T, StoreError>) -> ErrorKind {
    result.err().expect("an error").kind
}

async fn read(store: &dyn Store, object: &ObjectRef, range: Option<ByteRange>) -> Vec<u8> {
    let body = store.get(object, range, None).await.unwrap();
    body.stream
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend(chunk);
            Ok(all)
        })
        .await
        .unwrap()
}

async fn what_is_absent_is_said(store: &dyn Store) {
    assert_eq!(store.head(&object("absent")).await.unwrap(), None);
    assert_eq!(kind(store.get(&object("absent"), None, None).await), ErrorKind::NotFound);
}

async fn what_was_put_is_read(store: &dyn Store) {
    for key in ["plain.csv", "a b+c.csv", "ä/€ %41.csv", "x=1/y&z?.csv", "a//b/../c/./d.csv"] {
        let etag = put(store, key, Bytes::from_static(b"id\n1\n")).await;
        let meta = store.head(&object(key)).await.unwrap().unwrap();
        assert_eq!((meta.size, &meta.etag), (5, &etag));
        assert_eq!(meta.metadata["penstock-event-id"], "e1");
        assert_eq!(meta.checksum_crc64nvme, Some(Payload::new(Bytes::from_static(b"id\n1\n")).checksum()));
        assert_eq!(read(store, &object(key), None).await, b"id\n1\n");
    }
    put(store, "empty", Bytes::new()).await;
    assert_eq!(store.head(&object("empty")).await.unwrap().unwrap().size, 0);
    assert_eq!(read(store, &object("empty"), None).await, b"");
}

async fn ranges_are_read(store: &dyn Store) {
    let content = bytes(300_000);
    put(store, "ranges", content.clone()).await;
    for (start, length, end) in
        [(0, 1, 1), (7, 100_000, 100_007), (299_999, 1, 300_000), (299_000, 5_000, 300_000)]
    {
        let range = ByteRange { start: start as u64, length };
        assert_eq!(read(store, &object("ranges"), Some(range)).await, content[start..end]);
        let body = store.get(&object("ranges"), Some(range), None).await.unwrap();
        assert_eq!(body.meta.size, 300_000);
    }
    let beyond = ByteRange { start: 300_000, length: 1 };
    assert_eq!(kind(store.get(&object("ranges"), Some(beyond), None).await), ErrorKind::Permanent);
}

async fn conditions_hold(store: &dyn Store) {
    let payload = |text: &'static str| Payload::new(Bytes::from_static(text.as_bytes()));
    let new = new("conditions");
    let first = store.put(&new, payload("1"), &Condition::IfAbsent).await.unwrap();
    assert_eq!(kind(store.put(&new, payload("2"), &Condition::IfAbsent).await), ErrorKind::Precondition);
    let second = store.put(&new, payload("2"), &Condition::IfMatch(first.etag.clone())).await.unwrap();
    let stale = store.put(&new, payload("3"), &Condition::IfMatch(first.etag.clone())).await;
    assert_eq!(kind(stale), ErrorKind::Precondition);
    let object = object("conditions");
    assert_eq!(read(store, &object, None).await, b"2");
    assert_eq!(kind(store.get(&object, None, Some(&first.etag)).await), ErrorKind::Precondition);
    assert!(store.get(&object, None, Some(&second.etag)).await.is_ok());
}

async fn versions_are_kept(store: &dyn Store) {
    let mut new = new("versions");
    new.object.bucket = "versioned".into();
    let mut ids = Vec::new();
    for text in ["1", "2"] {
        let written = store.put(&new, Payload::new(Bytes::from(text)), &Condition::Always).await.unwrap();
        ids.push(written.version_id.expect("a version"));
    }
    let version = |id: &str| ObjectRef { version_id: Some(id.to_owned()), ..new.object.clone() };
    assert_eq!(read(store, &version(&ids[0]), None).await, b"1");
    assert_eq!(read(store, &version(&ids[1]), None).await, b"2");
    assert_eq!(read(store, &new.object, None).await, b"2");
    assert_eq!(store.head(&version("nonesuch")).await.unwrap(), None);
}

async fn uploads_appear_whole(store: &dyn Store) {
    let content = bytes(2 * PART + 1000);
    let upload = store.create_upload(&new("upload")).await.unwrap();
    let mut parts = Vec::new();
    for (number, chunk) in (1..).zip(content.chunks(PART)) {
        let payload = Payload::new(Bytes::copy_from_slice(chunk));
        parts.push(store.upload_part(&upload, number, payload).await.unwrap());
    }
    assert_eq!(
        store.head(&object("upload")).await.unwrap(),
        None,
        "nothing is visible before it is complete"
    );
    let whole = Payload::new(content.clone());
    let written =
        store.complete_upload(&upload, &parts, whole.crc64nvme, &Condition::IfAbsent).await.unwrap();
    let meta = store.head(&object("upload")).await.unwrap().unwrap();
    assert_eq!((meta.size, &meta.etag), (whole.length, &written.etag));
    assert_eq!(meta.metadata["penstock-event-id"], "e1");
    assert_eq!(meta.checksum_crc64nvme, Some(whole.checksum()));
    assert_eq!(read(store, &object("upload"), None).await, content);

    let gone = store.create_upload(&new("gone")).await.unwrap();
    store.abort_upload(&gone).await.unwrap();
    store.abort_upload(&gone).await.unwrap();
    let late = store.upload_part(&gone, 1, Payload::new(Bytes::from_static(b"x"))).await;
    assert_eq!(kind(late), ErrorKind::NotFound);
}

async fn uploads_obey_conditions(store: &dyn Store) {
    let etag = put(store, "contested", Bytes::from_static(b"theirs")).await;
    let upload = store.create_upload(&new("contested")).await.unwrap();
    let payload = Payload::new(Bytes::from_static(b"ours"));
    let parts = [store.upload_part(&upload, 1, payload.clone()).await.unwrap()];
    let complete = |condition| {
        let (upload, parts, crc) = (upload.clone(), parts.clone(), payload.crc64nvme);
        async move { store.complete_upload(&upload, &parts, crc, &condition).await }
    };
    assert_eq!(kind(complete(Condition::IfAbsent).await), ErrorKind::Precondition);
    assert_eq!(kind(complete(Condition::IfMatch("stale".into())).await), ErrorKind::Precondition);
    assert_eq!(read(store, &object("contested"), None).await, b"theirs");
    complete(Condition::IfMatch(etag)).await.unwrap();
    assert_eq!(read(store, &object("contested"), None).await, b"ours");
}

async fn odd_parts_are_refused(store: &dyn Store) {
    let upload = store.create_upload(&new("odd")).await.unwrap();
    let (first, second) = (bytes(PART), Bytes::from_static(b"second"));
    let mut parts = Vec::new();
    for (number, content) in [(1, first.clone()), (2, second.clone())] {
        parts.push(store.upload_part(&upload, number, Payload::new(content)).await.unwrap());
    }
    let whole = Payload::new([first, second.clone()].concat().into()).crc64nvme;
    let complete = async |parts: &[_]| store.complete_upload(&upload, parts, whole, &Condition::Always).await;
    let backwards = [parts[1].clone(), parts[0].clone()];
    assert_eq!(kind(complete(&backwards).await), ErrorKind::Permanent);
    let forged = [parts[0].clone(), UploadedPart { etag: "0".repeat(32), ..parts[1].clone() }];
    assert!(complete(&forged).await.is_err());
    let absent = [parts[0].clone(), UploadedPart { number: 3, ..parts[1].clone() }];
    assert_eq!(kind(complete(&absent).await), ErrorKind::Permanent);
    assert_eq!(store.head(&object("odd")).await.unwrap(), None);
    complete(&parts).await.unwrap();

    let upload = store.create_upload(&new("small")).await.unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        parts.push(store.upload_part(&upload, number, Payload::new(second.clone())).await.unwrap());
    }
    let whole = Payload::new([second.clone(), second].concat().into()).crc64nvme;
    let small = store.complete_upload(&upload, &parts, whole, &Condition::Always).await;
    assert_eq!(kind(small), ErrorKind::Permanent);
    store.abort_upload(&upload).await.unwrap();
}

async fn damaged_bytes_are_refused(store: &dyn Store) {
    let damaged = || Payload { crc64nvme: 1, ..Payload::new(Bytes::from_static(b"damaged")) };
    assert!(store.put(&new("damaged"), damaged(), &Condition::Always).await.is_err());
    let upload = store.create_upload(&new("damaged")).await.unwrap();
    assert!(store.upload_part(&upload, 1, damaged()).await.is_err());
    let payload = Payload::new(Bytes::from_static(b"whole"));
    let part = store.upload_part(&upload, 1, payload).await.unwrap();
    assert!(store.complete_upload(&upload, &[part], 1, &Condition::Always).await.is_err());
    assert_eq!(store.head(&object("damaged")).await.unwrap(), None);
    store.abort_upload(&upload).await.unwrap();
}

async fn keys_are_listed(store: &dyn Store) {
    let mut listed = Vec::new();
    for number in 10..31 {
        let key = format!("listed/{number}=ä b");
        let etag = put(store, &key, Bytes::from(key.clone())).await;
        listed.push(Listed { key, etag });
    }
    put(store, "listed-not", Bytes::new()).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.list("bucket", "listed/", &after).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.key);
        found.extend(page);
    }
    assert_eq!(found, listed);
    assert_eq!(store.list("bucket", "listed/", "listed/29=ä b").await.unwrap(), [listed[20].clone()]);
    assert!(store.list("bucket", "unlisted/", "").await.unwrap().is_empty());
}

async fn objects_are_removed(store: &dyn Store) {
    let etag = put(store, "removed", Bytes::from_static(b"id\n1\n")).await;
    store.delete(&object("removed"), &etag).await.unwrap();
    assert_eq!(store.head(&object("removed")).await.unwrap(), None);
    store.delete(&object("removed"), &etag).await.unwrap();
    let etag = put(store, "kept", Bytes::from_static(b"id\n1\n")).await;
    put(store, "kept", Bytes::from_static(b"id\n2\n")).await;
    assert_eq!(kind(store.delete(&object("kept"), &etag).await), ErrorKind::Precondition);
    assert_eq!(read(store, &object("kept"), None).await, b"id\n2\n");
}
