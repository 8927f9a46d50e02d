//! What a worker needs to work, each need probed on its own.

use futures::future::{BoxFuture, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The longest wait for one probe.
const PATIENCE: Duration = Duration::from_secs(3);

/// The worker's needs, each with a probe; cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness {
    needs: BTreeMap<&'static str, Requirement>,
}

#[derive(Clone)]
struct Requirement {
    probe: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// One probe at a time: probes that hang must not pile up.
    running: Arc<Mutex<()>>,
}

impl Readiness {
    /// Adds a need; `probe` fails with the reason why it is not met.
    pub fn require<F>(&mut self, name: &'static str, probe: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let probe = Arc::new(move || -> BoxFuture<'static, Result<(), String>> { Box::pin(probe()) });
        self.needs.insert(name, Requirement { probe, running: Arc::default() });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.needs.keys().copied()
    }

    /// The needs that are not met now, each with the reason.
    pub async fn missing(&self) -> BTreeMap<&'static str, String> {
        self.missing_within(PATIENCE).await
    }

    async fn missing_within(&self, patience: Duration) -> BTreeMap<&'static str, String> {
        let reasons = self.needs.iter().map(async |(name, need)| Some((*name, need.missing_within(patience).await?)));
        join_all(reasons).await.into_iter().flatten().collect()
    }
}

impl Requirement {
    async fn missing_within(&self, patience: Duration) -> Option<String> {
        let outcome = async {
            let turn = Arc::clone(&self.running).lock_owned().await;
            let probe = (self.probe)();
            #[expect(clippy::disallowed_methods, reason = "a query to the database is never dropped half-way")]
            let outcome = tokio::spawn(async move {
                let outcome = probe.await;
                drop(turn);
                outcome
            });
            outcome.await
        };
        match tokio::time::timeout(patience, outcome).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(why))) => Some(why),
            Ok(Err(panic)) => Some(panic.to_string()),
            Err(_) => Some(format!("no answer within {patience:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named_and_what_hangs_holds_nobody_up() {
        let mut readiness = Readiness::default();
        readiness.require("there", || std::future::ready(Ok(())));
        readiness.require("away", || std::future::ready(Err("gone".to_owned())));
        readiness.require("hanging", std::future::pending);
        for _ in 0..2 {
            let missing = readiness.missing_within(Duration::from_millis(50)).await;
            let named: Vec<_> = missing.keys().copied().collect();
            assert_eq!(named, ["away", "hanging"]);
            assert_eq!(missing["away"], "gone");
        }
    }
}
