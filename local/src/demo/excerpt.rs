//! The few lines of MiniStack's log that help with a file that went wrong. Pure.

use serde_json::Value;

/// How many lines are worth reading.
const LINES: usize = 6;

/// The last complaints that name one of `needles`; the last complaints at all, when none does.
pub(super) fn excerpt(log: &str, needles: &[&str]) -> Vec<String> {
    let complaints: Vec<&str> = log.lines().filter(|line| complains(line)).collect();
    let names_one = |line: &&&str| needles.iter().any(|needle| line.contains(needle));
    let named: Vec<&str> = complaints.iter().filter(names_one).copied().collect();
    let chosen = if named.is_empty() { complaints } else { named };
    chosen[chosen.len().saturating_sub(LINES)..].iter().map(|line| shorten(line)).collect()
}

/// A function's JSON line as people write one: without what is the same on all, or names what is known here.
fn shorten(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut take = |name: &str| fields.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let (Some(level), Some(message)) = (take("level"), take("message")) else { return line.to_owned() };
    let rest =
        fields.iter().filter(|(name, _)| !["timestamp", "target", "span", "spans"].contains(&name.as_str()));
    let rest: String = rest.map(|(name, value)| format!(" {name}={value}")).collect::<Vec<_>>().concat();
    format!("{level} {message}{rest}")
}

fn complains(line: &str) -> bool {
    // MiniStack says so at every start; nothing here signs with KMS.
    if line.contains("cryptography package not installed") {
        return false;
    }
    ["ERROR", "WARN", "error\"", "panicked", "Task timed out", "init error"]
        .iter()
        .any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_about_the_file_come_first() {
        let log = "INFO a.csv\nERROR b.csv\nERROR a.csv 1\n{\"level\":\"WARN\",\"key\":\"a.csv\"}\nINFO done";
        assert_eq!(excerpt(log, &["a.csv"]), ["ERROR a.csv 1", "{\"level\":\"WARN\",\"key\":\"a.csv\"}"]);
        assert_eq!(excerpt(log, &["c.csv"]).len(), 3);
        assert!(excerpt("INFO all is well", &["a.csv"]).is_empty());
    }

    #[test]
    fn a_functions_line_is_told_shortly() {
        let line =
            r#"{"timestamp":"t","level":"WARN","message":"it failed","code":"x","span":{"key":"a.csv"}}"#;
        assert_eq!(excerpt(line, &["a.csv"]), [r#"WARN it failed code="x""#]);
    }

    #[test]
    fn only_the_last_are_shown() {
        let log = (0..20).map(|n| format!("ERROR {n}")).collect::<Vec<_>>().join("\n");
        assert_eq!(
            excerpt(&log, &[]),
            ["ERROR 14", "ERROR 15", "ERROR 16", "ERROR 17", "ERROR 18", "ERROR 19"]
        );
    }
}
