//! What a worker needs at hand to work, asked one by one.

use futures::future::{BoxFuture, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is needed, and how to ask whether it is there; cheap to clone.
#[derive(Clone, Default)]
pub struct AtHand {
    needs: BTreeMap<&'static str, Need>,
}

#[derive(Clone)]
struct Need {
    ask: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// One question at a time: what hangs must not pile up.
    asking: Arc<Mutex<()>>,
}

impl AtHand {
    /// From now on this is needed as well; `ask` says why it is not there.
    pub fn need<F>(&mut self, name: &'static str, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let ask = Arc::new(move || -> BoxFuture<'static, Result<(), String>> { Box::pin(ask()) });
        self.needs.insert(name, Need { ask, asking: Arc::default() });
    }

    /// What is needed.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.needs.keys().copied()
    }

    /// What is not there, and why.
    pub async fn missing(&self) -> BTreeMap<&'static str, String> {
        self.missing_within(PATIENCE).await
    }

    async fn missing_within(&self, patience: Duration) -> BTreeMap<&'static str, String> {
        let answers = self.needs.iter().map(async |(name, need)| Some((*name, need.missing_within(patience).await?)));
        join_all(answers).await.into_iter().flatten().collect()
    }
}

impl Need {
    async fn missing_within(&self, patience: Duration) -> Option<String> {
        let answer = async {
            let turn = Arc::clone(&self.asking).lock_owned().await;
            let asking = (self.ask)();
            #[expect(clippy::disallowed_methods, reason = "a question to the database is never dropped half-way")]
            let answer = tokio::spawn(async move {
                let answer = asking.await;
                drop(turn);
                answer
            });
            answer.await
        };
        match tokio::time::timeout(patience, answer).await {
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
        let mut at_hand = AtHand::default();
        at_hand.need("there", || std::future::ready(Ok(())));
        at_hand.need("away", || std::future::ready(Err("gone".to_owned())));
        at_hand.need("hanging", std::future::pending);
        for _ in 0..2 {
            let missing = at_hand.missing_within(Duration::from_millis(50)).await;
            let named: Vec<_> = missing.keys().copied().collect();
            assert_eq!(named, ["away", "hanging"]);
            assert_eq!(missing["away"], "gone");
        }
    }
}
