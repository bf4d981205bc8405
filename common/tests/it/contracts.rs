//! The wire contracts, against fixtures: what is written once is read for ever.

use common::contract::{
    ByteCounts, ByteSpans, CatalogEntry, CatalogStatus, Counts, FileEvent, Location, Output, Receipt,
    Sequencer, Source, Status, event_id,
};

const PROCESSED: &str = include_str!("../fixtures/receipt-processed.json");
const FAILED: &str = include_str!("../fixtures/receipt-failed.json");
const EVENT: &str = include_str!("../fixtures/event-processed.json");
const ENTRY: &str = include_str!("../fixtures/catalog-entry.json");

fn receipt(text: &str) -> Receipt {
    serde_json::from_str(text).unwrap()
}

fn location() -> Location {
    Location { bucket: "acme-out".into(), key: "receipts/in/orders.csv.gz.json".into() }
}

/// Compared as values: the order of keys is no part of the contract.
fn assert_round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(fixture: &str) {
    let value: serde_json::Value = serde_json::from_str(fixture).unwrap();
    let typed: T = serde_json::from_str(fixture).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), value);
}

#[test]
fn fixtures_make_the_round_trip() {
    assert_round_trip::<Receipt>(PROCESSED);
    assert_round_trip::<Receipt>(FAILED);
    assert_round_trip::<FileEvent>(EVENT);
    assert_round_trip::<CatalogEntry>(ENTRY);
}

#[test]
fn the_event_of_a_receipt_is_the_fixture() {
    assert_eq!(FileEvent::new(&receipt(PROCESSED), location()), FileEvent::parse(EVENT).unwrap());
}

#[test]
fn the_entry_of_an_event_is_the_fixture() {
    let event = FileEvent::parse(EVENT).unwrap();
    let entry = CatalogEntry::new(&event, false, Some("6923f0000123456789abcdef01234567".into()));
    assert_eq!(entry, serde_json::from_str(ENTRY).unwrap());
    assert_eq!(CatalogEntry::new(&event, true, None).status, CatalogStatus::Superseded);
}

#[test]
fn a_receipt_that_does_not_add_up_is_recognised() {
    assert!(receipt(PROCESSED).adds_up());
    assert!(receipt(FAILED).adds_up());
    let lost_row =
        Receipt { counts: Counts { rows_out: 3, ..receipt(PROCESSED).counts }, ..receipt(PROCESSED) };
    assert!(!lost_row.adds_up());
    let bytes = receipt(PROCESSED).bytes;
    let spans = ByteSpans { kept: bytes.spans.kept + 1, ..bytes.spans };
    assert!(!Receipt { bytes: ByteCounts { spans, ..bytes }, ..receipt(PROCESSED) }.adds_up());
    assert!(!Receipt { rejects: None, ..receipt(PROCESSED) }.adds_up());
}

#[test]
fn many_outputs_are_counted_not_listed() {
    let mut many = receipt(PROCESSED);
    many.outputs = vec![Output { parts: 1, ..many.outputs[0].clone() }; 1000];
    let event = FileEvent::new(&many, location());
    assert_eq!((event.data.outputs_total, event.data.receipt.outputs.len()), (1000, 0));
    assert!(serde_json::to_string(&event).unwrap().len() < 256 * 1024);
}

#[test]
fn an_event_id_names_one_outcome() {
    let source = Source {
        bucket: "b".into(),
        key: "k".into(),
        version_id: None,
        etag: "e".into(),
        size: 1,
        sequencer: Some(Sequencer("1".into())),
    };
    let id = event_id(&source, "r", 0, Status::Processed);
    assert_eq!(id.len(), 32);
    let replayed = Source { sequencer: None, ..source.clone() };
    assert_eq!(event_id(&replayed, "r", 0, Status::Processed), id);
    let versioned = Source { version_id: Some("e".into()), ..source.clone() };
    for other in [
        event_id(&versioned, "r", 0, Status::Processed),
        event_id(&source, "r2", 0, Status::Processed),
        event_id(&source, "r", 1, Status::Processed),
        event_id(&source, "r", 0, Status::Failed),
        event_id(
            &Source { bucket: "bk".into(), key: String::new(), ..source.clone() },
            "r",
            0,
            Status::Processed,
        ),
    ] {
        assert_ne!(other, id);
    }
}

#[test]
fn bodies_that_are_no_event_are_refused() {
    for (from, to) in
        [("\"1.0\"", "\"2.0\""), ("penstock.file.processed", "other.thing"), ("\"id\": \"", "\"id\": \"../")]
    {
        assert!(FileEvent::parse(&EVENT.replacen(from, to, 1)).is_err(), "{to}");
    }
    for body in ["", "{}", "null", "[1]", "\u{0}"] {
        assert!(FileEvent::parse(body).is_err());
    }
}
