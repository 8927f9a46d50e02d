//! `/livez` and `/readyz`: whether the loops turn, and whether the worker has what it needs.

use crate::version;
use crate::worker::liveness::Watchdog;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt as _, TryFutureExt as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// State of a worker, read by health checks, metrics and console.
#[derive(Clone)]
pub struct Health {
    pub readiness: Readiness,
    pub watchdog: Watchdog,
    /// True as soon as the worker takes no new work.
    pub draining: watch::Receiver<bool>,
    pub scrapers: Scrapers,
}

/// Timeout of one probe.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the worker needs, with a probe for each need. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness {
    needs: BTreeMap<&'static str, Requirement>,
}

#[derive(Clone)]
struct Requirement {
    probe: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// Held while the probe runs, so that hanging probes of one need do not pile up.
    running: Arc<Mutex<()>>,
}

impl Readiness {
    /// Adds a need. `probe` gets `what`, and returns an error with the reason if the need is not met.
    pub fn require<W, F, E>(&mut self, name: &'static str, what: W, probe: fn(W) -> F)
    where
        W: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let probe = move || probe(what.clone()).map_err(|error| error.to_string()).boxed();
        self.needs.insert(name, Requirement { probe: Arc::new(probe), running: Arc::default() });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.needs.keys().copied()
    }

    /// Runs all probes. Returns the needs that are not met. The key is the need's name. The value is the reason.
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

/// Functions that set metrics at each scrape. Cheap to clone.
#[derive(Clone, Default)]
pub struct Scrapers {
    pub(super) lasting: Vec<Scraper>,
    pub(super) transient: Vec<Scraper>,
}

type Scraper = Arc<dyn Fn() + Send + Sync>;

impl Scrapers {
    /// Adds a function that sets gauges or counters. The function may block briefly.
    pub fn add(&mut self, scrape: impl Fn() + Send + Sync + 'static) {
        self.lasting.push(Arc::new(scrape));
    }

    /// Adds a function whose series may be gone at the next scrape. The page drops a series that the function no longer
    /// sets.
    pub fn add_transient(&mut self, scrape: impl Fn() + Send + Sync + 'static) {
        self.transient.push(Arc::new(scrape));
    }
}

/// Serves `/livez`: status 200, or 503 with the names of stuck loops.
pub(super) async fn live(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let stuck = health.watchdog.late();
    let (code, status) = match stuck.as_slice() {
        [] => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
    };
    let body = json!({
        "status": status,
        "stuck": stuck,
        "version": version::VERSION,
        "commit": version::COMMIT,
        "build": version::PROFILE,
    });
    (code, Json(body))
}

/// Serves `/readyz`: status 200, or 503 with the needs that are not met. A draining worker is not ready.
pub(super) async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let missing = health.readiness.missing().await;
    let (code, status) = match (*health.draining.borrow(), missing.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ok"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(json!({"status": status, "missing": missing})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_named_and_what_hangs_holds_nobody_up() {
        let mut readiness = Readiness::default();
        readiness.require("there", (), |()| std::future::ready(Ok::<_, String>(())));
        readiness.require("away", (), |()| std::future::ready(Err("gone")));
        readiness.require("hanging", (), |()| std::future::pending::<Result<(), String>>());
        for _ in 0..2 {
            let missing = readiness.missing_within(Duration::from_millis(50)).await;
            let named: Vec<_> = missing.keys().copied().collect();
            assert_eq!(named, ["away", "hanging"]);
            assert_eq!(missing["away"], "gone");
        }
    }
}
