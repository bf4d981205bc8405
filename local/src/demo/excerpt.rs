//! The few lines of MiniStack's log that help with a file that went wrong. Pure.

/// How many lines are worth reading.
const LINES: usize = 6;

/// The last complaints that name one of `needles`; the last complaints at all, when none does.
pub(super) fn excerpt<'t>(log: &'t str, needles: &[&str]) -> Vec<&'t str> {
    let complaints: Vec<&str> = log.lines().filter(|line| complains(line)).collect();
    let named: Vec<&str> = complaints
        .iter()
        .copied()
        .filter(|line| needles.iter().any(|needle| line.contains(needle)))
        .collect();
    let chosen = if named.is_empty() { complaints } else { named };
    chosen[chosen.len().saturating_sub(LINES)..].to_vec()
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
    fn only_the_last_are_shown() {
        let log = (0..20).map(|n| format!("ERROR {n}")).collect::<Vec<_>>().join("\n");
        assert_eq!(
            excerpt(&log, &[]),
            ["ERROR 14", "ERROR 15", "ERROR 16", "ERROR 17", "ERROR 18", "ERROR 19"]
        );
    }
}
