//! Puts a changed policy in force while the worker works: on SIGHUP, and when its file or a key's file changes.
//!
//! Guarantees: a policy that cannot be used, or that everybody may write, changes nothing; the one in force stays, and the gauge says so. Never:
//! reads a file again that has just changed, because its author may still be writing it. SIGHUP does not wait for that.

use crate::adapters::authority::{CurrentPolicy, Policy, PolicyFile, PolicyFileError, Stamps};
use crate::telemetry::metrics;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// How often the loop looks at the files. A change is read when it is as old as this.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(super) struct PolicyWatch {
    /// `None` for a worker without a policy, for which SIGHUP does nothing.
    file: Option<PolicyFile>,
    current: CurrentPolicy,
    hangup: Signal,
}

impl PolicyWatch {
    /// From now on SIGHUP does not end the process.
    pub(super) fn new(path: Option<PathBuf>, current: CurrentPolicy) -> io::Result<Self> {
        Ok(Self { file: path.map(PolicyFile::new), current, hangup: signal(SignalKind::hangup())? })
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        metrics::POLICY_STALE.set((), 0.0);
        if self.file.is_some() {
            // Reads the file once more: it may have changed since the worker read it, and this finds the key files.
            self.reload().await;
        }
        let mut read = self.look().await;
        let mut seen = read.clone();
        loop {
            let is_asked = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                _ = self.hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = self.look().await;
            let has_settled = now == seen && now != read;
            seen = now;
            if is_asked || has_settled {
                if is_asked {
                    info!("SIGHUP: reading the policy again");
                }
                self.reload().await;
                read = self.look().await;
                seen.clone_from(&read);
            }
        }
    }

    async fn look(&mut self) -> Option<Stamps> {
        let file = self.file.clone()?;
        tokio::task::spawn_blocking(move || file.stamps()).await.ok()
    }

    async fn reload(&mut self) {
        let Some(mut file) = self.file.clone() else {
            return info!("there is no policy to read ([authority] policy is not set)");
        };
        let reading = tokio::task::spawn_blocking(move || {
            let policy = file.read();
            let policy = file.check_modes().map_err(PolicyFileError::Loose).and(policy);
            (file, policy)
        });
        let Ok((file, policy)) = reading.await else { return };
        self.file = Some(file);
        match policy {
            Ok(policy) => self.replace(policy),
            Err(why) => self.keep(&why),
        }
    }

    fn replace(&self, policy: Policy) {
        metrics::POLICY_STALE.set((), 0.0);
        let before = self.current.now();
        if before.as_deref() == Some(&policy) {
            return;
        }
        let was = before.map(|before| before.digest().to_string()).unwrap_or_default();
        info!(policy = %policy.digest(), was, names = policy.names(), "another policy is in force");
        for opening in policy.openings() {
            warn!("the policy leaves open: {opening}");
        }
        self.current.replace(policy);
    }

    fn keep(&self, why: &PolicyFileError) {
        metrics::POLICY_STALE.set((), 1.0);
        let digest = self.current.now().map(|policy| policy.digest().to_string()).unwrap_or_default();
        error!(policy = digest, fault = %why, "the policy's file cannot be used; the policy that was read before stays in force");
    }
}
