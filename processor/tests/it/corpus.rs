//! The corpus of the fuzzer of events, replayed.

use std::path::Path;

#[path = "../../../fuzz/checks/event.rs"]
mod event_check;

#[test]
fn what_the_fuzzer_of_events_checks_holds_of_its_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/event");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        event_check::holds(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{count} cases");
}
