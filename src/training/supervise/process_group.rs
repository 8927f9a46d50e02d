//! The process group of a child, which is signalled as a whole.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::time::Duration;
use tokio::process::Child;

/// How long a child may take to end after SIGTERM. The watcher of a registered command ends the command first; a
/// watcher that is killed before would leave the command running.
const GRACE: Duration = Duration::from_mins(1);

/// Sends SIGTERM when it is dropped, so that a future that is dropped ends its child, too.
pub(super) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group that this child leads.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    pub(super) fn leader(&self) -> Option<Pid> {
        self.0
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // A group that has ended by itself is no error.
            let _ = killpg(pid, signal);
        }
    }

    /// Sends SIGTERM, waits for [`GRACE`], and sends SIGKILL.
    pub(super) async fn end(&mut self, child: &mut Child) -> std::io::Result<()> {
        self.send(Signal::SIGTERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            self.send(Signal::SIGKILL);
            child.wait().await?;
        }
        self.0 = None;
        Ok(())
    }

    /// Kills what a child that has ended left behind in its group.
    pub(super) fn kill(&mut self) {
        self.send(Signal::SIGKILL);
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
    }
}
