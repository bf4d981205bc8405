//! A child process at the head of a process group of its own: ending the group ends whatever the child started.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// How long a group may take to end when asked, before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A running child and its process group. Dropping it ends the group.
#[derive(Debug)]
pub struct Group {
    child: Child,
    /// The child's id and so the group's; none once the group has been ended, or let go.
    id: Option<Pid>,
}

impl Group {
    /// Starts `command` in a new process group.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The group's id, while it is ours to end.
    pub fn id(&self) -> Option<i32> {
        self.id.map(|id| id.as_raw_nonzero().get())
    }

    /// Waits until the child has ended by itself. Its group is taken to have ended with it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.id = None;
        Ok(status)
    }

    /// Whether the child has ended, and how. Others of its group may still run.
    pub fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Lets the group run on after this process.
    pub fn release(mut self) {
        self.id = None;
    }

    /// Asks the group to end, waits for the child, at most three seconds, and kills what is left.
    pub async fn stop(mut self) {
        if !self.ask() {
            return;
        }
        let deadline = Instant::now() + GRACE;
        while !self.ended() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.kill();
        self.child.wait().await.ok();
    }

    /// Whether there was anybody to ask.
    fn ask(&self) -> bool {
        self.id.is_some_and(|id| kill_process_group(id, Signal::TERM).is_ok())
    }

    /// Whether the child has. The others have been asked too, and need no longer than it: what is left of them is
    /// killed. (Waiting for all has no end where nobody collects orphans, as in a container without an init.)
    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // An error says that nobody is left.
            kill_process_group(id, Signal::KILL).ok();
        }
    }
}

impl Drop for Group {
    /// Blocks up to three seconds: a future that is dropped has no other way to wait.
    fn drop(&mut self) {
        if !self.ask() {
            return;
        }
        let deadline = Instant::now() + GRACE;
        while !self.ended() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        self.kill();
        self.child.try_wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::AsyncReadExt as _;
    use tokio::process::ChildStdout;

    use super::*;

    /// A shell and a child of it, both about to sleep for a minute. Their output ends when the last of them has.
    async fn sleepers(script: &str) -> (Group, ChildStdout) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut command).unwrap();
        let mut output = group.child().stdout.take().unwrap();
        assert_eq!(output.read_u8().await.unwrap(), b'.');
        (group, output)
    }

    async fn has_ended(mut output: ChildStdout) -> bool {
        let read = output.read_u8();
        matches!(tokio::time::timeout(Duration::from_secs(5), read).await, Ok(Err(_)))
    }

    #[tokio::test]
    async fn stopping_ends_the_childs_children() {
        let (group, output) = sleepers("sleep 60 & printf .; sleep 60").await;
        group.stop().await;
        assert!(has_ended(output).await);
    }

    #[tokio::test]
    async fn dropping_ends_them_too() {
        let (group, output) = sleepers("sleep 60 & printf .; sleep 60").await;
        drop(group);
        assert!(has_ended(output).await);
    }

    #[tokio::test]
    async fn the_deaf_are_killed() {
        let (group, output) = sleepers("trap '' TERM; sleep 60 & printf .; while :; do sleep 60; done").await;
        group.stop().await;
        assert!(has_ended(output).await);
    }

    #[tokio::test]
    async fn what_is_released_lives_on() {
        let (mut group, output) = sleepers("printf .; sleep 1").await;
        assert!(group.status().unwrap().is_none());
        group.release();
        let begun = Instant::now();
        assert!(has_ended(output).await);
        assert!(begun.elapsed() > Duration::from_millis(500));
    }
}
