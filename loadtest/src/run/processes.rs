//! The functions' processes on this machine: what memory they have, and which of them a connection is from.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that says which function a process is.
pub(crate) const FUNCTION_VARIABLE: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// Whose processes are meant. None but those that were started for this run are ever touched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    /// Children of this process.
    Children,
    /// Members of a process group.
    Group(i32),
}

/// A function's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) id: i32,
    /// The function that it is.
    pub(crate) function: String,
}

impl Family {
    /// The functions' processes that run now.
    pub(crate) fn functions(self) -> Vec<Process> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = ids.filter(|id| {
            relations(*id).is_some_and(|(parent, group)| match self {
                Self::Children => parent == own,
                Self::Group(wanted) => group == wanted,
            })
        });
        ours.filter_map(|id| Some(Process { id, function: function(id)? })).collect()
    }

    /// The functions' process whose connection comes from this port of loopback.
    pub(crate) fn at_port(self, port: u16) -> Option<Process> {
        let socket = format!("socket:[{}]", inode(&fs::read_to_string("/proc/net/tcp").ok()?, port)?);
        self.functions().into_iter().find(|process| {
            let files = fs::read_dir(format!("/proc/{}/fd", process.id)).into_iter().flatten();
            let mut links = files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok());
            links.any(|link| link.as_os_str() == socket.as_str())
        })
    }
}

impl Process {
    /// Resident memory in bytes; none once it has ended.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        resident(&fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?)
    }

    /// Ends it as a crash would. Whether it was there to be ended.
    pub(crate) fn kill(&self) -> bool {
        Pid::from_raw(self.id).is_some_and(|id| kill_process(id, Signal::KILL).is_ok())
    }
}

/// Parent and process group.
fn relations(id: i32) -> Option<(i32, i32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; after it come the state, the parent, the group.
    let mut fields = stat.rsplit(") ").next()?.split(' ').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn function(id: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{id}/environ")).ok()?;
    let mut variables =
        environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
    variables
        .find_map(|variable| Some(variable.strip_prefix(FUNCTION_VARIABLE)?.strip_prefix('=')?.to_owned()))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The socket of the client's end that has this port, from `/proc/net/tcp`.
fn inode(table: &str, port: u16) -> Option<&str> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let inode = fields.nth(7)?;
        (local.ends_with(&suffix) && inode != "0").then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_that_is_a_function_is_found_measured_and_killed() {
        let mut command = Command::new("sleep");
        let mut child =
            command.arg("60").env(FUNCTION_VARIABLE, "of-a-test").stdin(Stdio::null()).spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        let process = Process { id, function: "of-a-test".into() };
        // Between fork and exec it has this process's environment.
        while function(id).as_deref() != Some("of-a-test") {
            std::thread::yield_now();
        }
        assert!(Family::Children.functions().contains(&process));
        assert!(!Family::Group(1).functions().contains(&process));
        assert!(process.memory_bytes().unwrap() > 0);
        assert!(process.kill());
        assert!(!child.wait().unwrap().success());
        assert_eq!(process.memory_bytes(), None);
    }

    #[test]
    fn a_connection_has_an_owner() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 0100007F:B2C4 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1\n   \
                     1: 0100007F:B2C4 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
        assert_eq!(inode(table, 0xB2C4), Some("4712"));
        assert_eq!(inode(table, 0x1F90), Some("4711"));
        assert_eq!(inode(table, 1), None);
    }

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
