//! `loadtest run` from outside, on the simulated system.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use loadtest::report::compare;
use loadtest::report::document::Run;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) fn loadtest(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").stdin(Stdio::null());
    command
}

/// The document on standard output, once the exit code is as expected.
fn document(output: &Output, code: i32) -> Run {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_row_of_dirty_files_is_accounted_for_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (page, table, kept) = (path("out.html"), path("files.csv"), path("run.json"));
    let sent =
        ["run", "--target", "sim", "--files", "5", "--concurrency", "2", "--size", "2MiB", "--dirty", "0.01"];
    let reports = ["--report", &page, "--csv", &table, "--json"];
    let output = loadtest(&sent).args(reports).output().unwrap();
    let run = document(&output, 0);
    assert!(run.verdict.clean && run.verdict.problems.is_empty());
    assert_eq!((run.totals.files, run.files.len()), (5, 5));
    assert!(run.files.iter().all(|file| file.accounted && file.catalogue_seconds.is_some()));
    let totals = run.totals;
    assert!(totals.rows_rejected > 100 && totals.rows_in == totals.rows_out + totals.rows_rejected);
    assert!(totals.peak_memory_bytes > 0 && !run.samples.is_empty());
    assert_eq!(run.traces.len(), 3);
    let names: Vec<&str> = run.traces[0].spans.iter().map(|span| span.name.as_str()).collect();
    assert!(
        names.contains(&"upload") && names.contains(&"transfer") && names.contains(&"catalogue"),
        "{names:?}"
    );

    assert!(text(Path::new(&page)).contains("every row accounted for"));
    assert_eq!(text(Path::new(&table)).lines().count(), 6);
    std::fs::write(&kept, &output.stdout).unwrap();
    let again = loadtest(&["report", &kept]).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap().trim_end(), text(Path::new(&page)).trim_end());
    let compared = loadtest(&["compare", &kept, &kept]).output().unwrap();
    assert_eq!(String::from_utf8(compared.stdout).unwrap().trim_end(), compare::text(&run, &run).trim_end());
}

#[test]
fn whatever_goes_wrong_on_the_wire_every_row_is_accounted_for() {
    let faults = "unavailable=0.1,lost=0.03,torn=0.05,slow=0.02,duplicate=0.9,disorder=0.9";
    let sent = [
        "run",
        "--target",
        "sim",
        "--files",
        "16",
        "--concurrency",
        "3",
        "--size",
        "1MiB",
        "--dirty",
        "0.01",
    ];
    let output = loadtest(&sent).args(["--chaos", faults, "--json"]).output().unwrap();
    let run = document(&output, 0);
    assert!(run.verdict.clean && run.verdict.open_uploads == 0);
    let injected = |fault: &str| run.faults.get(fault).copied().unwrap_or_default();
    let on_the_wire = injected("unavailable") + injected("lost") + injected("torn");
    assert!(on_the_wire > 0 && injected("duplicate") > 0 && injected("disorder") > 0, "{:?}", run.faults);
    let repeats = run.repeats.unwrap();
    assert!(repeats.republished + repeats.superseded + repeats.done_before > 0, "{repeats:?}");
}

/// A run that goes on for an hour, once it has said how far it is: in a plain line, as there is no terminal.
fn under_way() -> (Child, Lines<BufReader<ChildStderr>>) {
    let sent = ["run", "--target", "sim", "--rate", "3", "--duration", "1h", "--size", "100KB", "--json"];
    let mut child = loadtest(&sent).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(" files, "))).unwrap().unwrap();
    assert!(line.contains(" under way, ") && line.ends_with(" queued"), "{line}");
    (child, lines)
}

fn signal(child: &Child, signals: &[Signal]) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    for signal in signals {
        kill_process(id, *signal).unwrap();
    }
}

/// How it ended, and the rest of what it said.
fn ended(child: Child, lines: Lines<BufReader<ChildStderr>>) -> (Output, String) {
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let output = child.wait_with_output().unwrap();
    (output, rest.join().unwrap())
}

#[test]
fn an_interrupted_run_reports_of_what_was_through() {
    let (child, lines) = under_way();
    signal(&child, &[Signal::INT]);
    let (output, said) = ended(child, lines);
    let run = document(&output, 130);
    assert!(run.interrupted && run.verdict.clean && run.totals.files > 0);
    assert!(said.contains("Ctrl-C: reporting of the files that are through"), "{said}");
}

#[test]
fn who_interrupts_twice_gets_no_report() {
    let (child, lines) = under_way();
    // Both are there before it can have reported; which one it sees first is open.
    signal(&child, &[Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT]);
    let (output, said) = ended(child, lines);
    assert!([Some(130), Some(143)].contains(&output.status.code()), "{:?} {said}", output.status);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("error: interrupted by "), "{said}");
}

#[test]
fn kinds_come_by_weight_as_fast_and_as_long_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mix = folder.path().join("mix.csv");
    std::fs::write(&mix, "weight,profile,size,dirty\n2,,,\n1,narrow,80KB,1/9:ragged\n").unwrap();
    let sent =
        ["run", "--target", "sim", "--size", "60KB", "--rate", "8", "--duration", "2s", "--json", "--mix"];
    let output = loadtest(&sent).arg(&mix).output().unwrap();
    let run = document(&output, 0);
    assert_eq!(run.configuration.kinds, ["67 % taxi 58.6 KiB", "33 % narrow 78.1 KiB dirty 1/9:ragged"]);
    // Eight a second for two seconds, or fewer where the machine is slower.
    assert!((2..=16).contains(&run.files.len()), "{}", run.files.len());
    let narrow = run.files.iter().filter(|file| file.kind.starts_with("narrow")).count();
    assert!(narrow < run.files.len() && run.verdict.clean, "{narrow}");
    assert_eq!((run.configuration.rate, run.configuration.duration_seconds), (Some(8.0), Some(2.0)));
}

#[test]
fn what_memory_cannot_hold_is_not_begun() {
    let output = loadtest(&["run", "--size", "1TiB", "--files", "1000"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("take --target sim") && !said.contains("MiniStack"), "{said}");
}

#[test]
fn shells_can_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let output = loadtest(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.contains("loadtest") && script.contains("chaos"),
            "{script}"
        );
    }
}

#[test]
fn wrong_usage_has_its_exit_code() {
    for arguments in
        [&["run", "--target", "stage"][..], &["run", "--chaos", "flood=1"], &["run", "--files", "0"]]
    {
        let output = loadtest(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = loadtest(&["compare", "absent.json", "absent.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("read absent.json"));
}
