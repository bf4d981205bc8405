//! The machine that a run was made on.

use std::fs;

use crate::report::document::Machine;

/// What `/proc` says of it.
pub(crate) fn machine() -> Machine {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cpu = field("/proc/cpuinfo", "model name");
    let kib: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    Machine {
        cpu: if cpu.is_empty() { "unknown".into() } else { cpu },
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        memory_bytes: kib * 1024,
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}
