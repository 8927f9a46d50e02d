//! Ids that others have taken, commands that are sent again, requests that join without end, and what a stranger is told.

use crate::support::{World, as_worker, count, fresh_database, ledger_on, revision, sql};
use model_factory::adapters::authority::Policy;
use model_factory::adapters::ledger::{CommandRequest, Coordinates, Ledger, RunCommand, SourceRecord};
use model_factory::adapters::signing::{PrivateKey, RequesterPrivateKey};
use model_factory::domain::contract::AllowList;
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{FailureCode, Outcome, State};
use model_factory::worker::intake::Screening;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

static KEY: LazyLock<RequesterPrivateKey> = LazyLock::new(|| RequesterPrivateKey::P256(PrivateKey::generate()));

/// `tests` signs what it sends; `stranger` may ask in a scope of its own only, and has a quota of one run.
fn policy(rights_of_tests: &str) -> Policy {
    let pem = KEY.public().to_pem().replace('\n', "\n          ");
    let elsewhere = ALL.replace("scopes: ['*']", "scopes: [elsewhere]");
    let text = format!(
        "schema_version: platform.requester_policy.v0
principals:
  - names: [tests]
    keys:
      - pem: |
          {pem}
    may: {rights_of_tests}
    commands: [cancel, publish_retry]
  - names: [stranger]
    may: {elsewhere}
    commands: [cancel]
    quota: {{in_flight: 1}}
"
    );
    Policy::read(text.as_bytes(), |name| Err(format!("no file {name}"))).unwrap()
}

const ALL: &str = "[{intents: [baseline_train], scopes: ['*'], publish: true, inputs: ['*'], training_profiles: ['*'], \
                   governance_profiles: ['*']}]";

/// An intake with a ledger. With a policy, `tests` signs.
struct Intake {
    url: String,
    ledger: Ledger,
    screening: Screening,
    is_signed: bool,
}

impl Intake {
    async fn new(policy: Option<Policy>) -> Self {
        let url = fresh_database().await;
        let ledger = ledger_on(&url, |settings| settings.max_connections = 8).await;
        let is_signed = policy.is_some();
        let screening = Screening::from(AllowList::new([], true)).with_policy(policy);
        Self { url, ledger, screening, is_signed }
    }

    fn under(self, policy: Policy) -> Self {
        Self { screening: self.screening.with_policy(Some(policy)), is_signed: true, ..self }
    }

    /// The bytes that the principal sends.
    fn sealed(&self, value: &Value) -> Vec<u8> {
        let bytes = value.to_string().into_bytes();
        if self.is_signed && value["requester_principal"] == "tests" { KEY.seal(&bytes) } else { bytes }
    }

    /// Brings these bytes as one batch of a partition.
    async fn bring_bytes(&self, partition: i32, values: &[Vec<u8>]) -> Vec<Outcome> {
        static NEXT: AtomicI64 = AtomicI64::new(0);
        let mut batch = self.screening.of_batch();
        let arrivals: Vec<_> = values
            .iter()
            .map(|value| {
                let offset = NEXT.fetch_add(1, Ordering::Relaxed);
                let coordinates = Coordinates { topic: "requests".to_owned(), partition, offset };
                let value = value.clone();
                batch.arrival(SourceRecord { coordinates, key: None, value, cut: None, trace: None })
            })
            .collect();
        self.ledger.admit(&arrivals, "w").await.unwrap()
    }

    async fn bring(&self, value: &Value) -> Outcome {
        self.bring_bytes(0, &[self.sealed(value)]).await.remove(0)
    }

    async fn admitted(&self, value: &Value) -> RunId {
        match self.bring(value).await {
            Outcome::Admitted { run_id } => run_id,
            other => panic!("{other:?}"),
        }
    }

    async fn state(&self, run_id: &RunId) -> State {
        self.ledger.run(run_id).await.unwrap().unwrap().state
    }

    async fn requeue(&self, run_id: &RunId) {
        let order = CommandRequest { command: RunCommand::Requeue, actor: "ann", why: "again" };
        self.ledger.command(run_id, order).await.unwrap().unwrap().unwrap();
    }

    /// Everything that the topics get about rejected records: headers of dead letters and events.
    async fn answers(&self) -> String {
        let mut owner = PgConnection::connect(&self.url).await.unwrap();
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT headers::text || COALESCE(convert_from(value, 'UTF8'), '') FROM outbox
             WHERE stream LIKE 'refused:%' ORDER BY id",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        rows.concat()
    }

    async fn events(&self, event_type: &str) -> Vec<Value> {
        let mut owner = PgConnection::connect(&self.url).await.unwrap();
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT value FROM outbox WHERE kind = 'LIFECYCLE' ORDER BY id")
            .fetch_all(&mut owner)
            .await
            .unwrap();
        let events = rows.iter().map(|value| serde_json::from_slice::<Value>(value).unwrap());
        events.filter(|event| event["event_type"] == event_type).collect()
    }
}

/// The request of the principal `stranger`, in its own scope.
fn strange(id: &str, config_revision: &str) -> Value {
    let mut value = revision(id, config_revision);
    value["requester_principal"] = json!("stranger");
    value["target_scope"]["environment"] = json!("elsewhere");
    value["publish_allowed"] = json!(false);
    value
}

fn command(kind: &str, id: &str, run_id: &RunId) -> Value {
    json!({"schema_version": format!("learning.mf_{kind}.v0"), "request_id": id, "run_id": run_id,
           "requester_principal": "tests", "reason": "a test"})
}

#[tokio::test]
async fn an_id_that_somebody_else_has_taken_is_free_and_nobody_hears_of_the_other() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let other = intake.admitted(&strange("req-shared-01", "a")).await;
    let own = intake.admitted(&revision("req-shared-01", "b")).await;
    // The other way round: whoever comes second meets no conflict either.
    let joined = intake.bring(&strange("req-shared-02", "a")).await;
    assert_eq!(joined, Outcome::DuplicateRun { run_id: other.clone() });
    let second = intake.admitted(&revision("req-shared-02", "c")).await;
    assert!(!intake.answers().await.contains("tr_"), "nothing was refused");

    // Each keeps its own: the same again is known, other content is a conflict with the own request.
    assert_eq!(intake.bring(&revision("req-shared-01", "b")).await, Outcome::DuplicateRequest { run_id: own.clone() });
    let conflict = intake.bring(&revision("req-shared-02", "d")).await;
    assert_eq!(conflict, Outcome::Conflict { run_id: second.clone(), differs: vec!["/config_revision".to_owned()] });
    let said = intake.answers().await;
    assert!(said.contains(second.as_str()) && said.contains("/config_revision") && !said.contains(other.as_str()));

    // People find each of them.
    let keys = intake.ledger.request_keys("req-shared-01").await.unwrap();
    let expected = [("req-shared-01/stranger", &other), ("req-shared-01/tests", &own)];
    assert_eq!(keys.iter().map(|(key, run_id)| (key.as_str(), run_id)).collect::<Vec<_>>(), expected);
    let run = intake.ledger.run_of_request("req-shared-01/tests").await.unwrap().unwrap();
    assert_eq!((&run.run_id, run.request.request_id.as_str()), (&own, "req-shared-01"));
    let requests = intake.ledger.requests_of(&own, 10).await.unwrap();
    assert_eq!(requests.iter().map(|request| request.request_id.as_str()).collect::<Vec<_>>(), ["req-shared-01"]);
    let lease = intake.ledger.claim("w").await.unwrap().unwrap();
    assert_eq!(lease.request.request_id, "req-shared-01");
}

#[tokio::test]
async fn a_conflict_names_run_and_fields_only_to_who_may_see_the_run() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let first = intake.admitted(&revision("req-moved-001", "a")).await;
    // The right to the first scope is gone; the id is still the requester's.
    let intake = intake.under(policy(&ALL.replace("scopes: ['*']", "scopes: [elsewhere]")));
    let mut moved = revision("req-moved-001", "secret");
    moved["target_scope"]["environment"] = json!("elsewhere");
    moved["publish_allowed"] = json!(false);
    assert!(matches!(intake.bring(&moved).await, Outcome::Conflict { .. }));
    let said = intake.answers().await;
    assert!(said.contains("REQUEST_ID_PAYLOAD_MISMATCH") && said.contains("req-moved-001"), "{said}");
    assert!(!said.contains(first.as_str()) && !said.contains("/config_revision"), "{said}");
    moved["request_id"] = json!("req-moved-002");
    intake.admitted(&moved).await;

    // A command gets the same answer for a run of others as for none.
    let nobody: RunId = "tr_00000000000000000000000000000000".parse().unwrap();
    for (id, run_id) in [("cmd-strange-1", &first), ("cmd-strange-2", &nobody)] {
        let refused = intake.bring(&command("cancel", id, run_id)).await;
        assert_eq!(refused, Outcome::CommandRejected { code: FailureCode::RunUnknown });
    }
    let texts: Vec<String> = intake.events("request.rejected").await[1..]
        .iter()
        .map(|event| event["reason"]["message"].to_string().replace(first.as_str(), nobody.as_str()))
        .collect();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(intake.state(&first).await, State::Queued);
}

#[tokio::test]
async fn near_misses_are_a_requesters_own() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let first = intake.admitted(&revision("req-near-0001", "Release")).await;
    intake.admitted(&revision("req-near-0002", "release")).await;
    let mut other = revision("req-near-0003", "RELEASE");
    other["requester_principal"] = json!("stranger");
    let open =
        format!("schema_version: platform.requester_policy.v0\nprincipals:\n- names: [stranger]\n  may: {ALL}\n");
    let intake = intake.under(Policy::read(open.as_bytes(), |_| Err(String::new())).unwrap());
    intake.admitted(&other).await;
    let events = intake.events("request.admitted").await;
    let near: Vec<&Value> = events.iter().map(|event| &event["near_misses"]).collect();
    assert_eq!(near[1], &json!([first]), "one's own");
    assert!(near[2].as_array().is_none_or(Vec::is_empty), "another's: {}", near[2]);
}

#[tokio::test]
async fn three_thousand_ids_cost_the_one_who_takes_them_a_quota() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let mut outcomes = Vec::new();
    for batch in 0..6 {
        let values: Vec<Vec<u8>> = (0..500)
            .map(|n| {
                let value = strange(&format!("req-taken-{}", batch * 500 + n), "a");
                intake.sealed(&value)
            })
            .collect();
        outcomes.extend(intake.bring_bytes(0, &values).await);
        let good = revision(&format!("req-taken-{}", batch * 500), &format!("good-{batch}"));
        intake.admitted(&good).await;
    }
    let counted = |holds: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| holds(outcome)).count();
    assert_eq!(counted(|outcome| matches!(outcome, Outcome::Admitted { .. })), 1);
    assert_eq!(counted(|outcome| matches!(outcome, Outcome::DuplicateRun { .. })), 100);
    let over = |outcome: &Outcome| *outcome == Outcome::Rejected { code: FailureCode::QuotaExceeded };
    assert_eq!(counted(over), 3_000 - 101);
    assert_eq!(count(&intake.url, "requests WHERE request_id LIKE '%/stranger'").await, 101);
    // What is known counts nothing, and a day later there is room.
    let again = intake.bring(&strange("req-taken-7", "a")).await;
    assert!(matches!(again, Outcome::DuplicateRequest { .. }), "{again:?}");
    sql(&intake.url, &["UPDATE requests SET admitted_at = admitted_at - interval '25 hours'"]).await;
    assert!(matches!(intake.bring(&strange("req-later-01", "a")).await, Outcome::DuplicateRun { .. }));
}

#[tokio::test]
async fn a_signed_command_is_carried_out_once_whoever_sends_its_bytes_again() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let run_id = intake.admitted(&revision("req-victim-01", "a")).await;
    let duplicate = Outcome::DuplicateRequest { run_id: run_id.clone() };
    let cancel = intake.sealed(&command("cancel", "cmd-cancel-01", &run_id));
    // In one batch, the first one counts.
    let outcomes = intake.bring_bytes(0, &[cancel.clone(), cancel.clone()]).await;
    assert_eq!(outcomes, [Outcome::CommandApplied { run_id: run_id.clone() }, duplicate.clone()]);
    assert_eq!(intake.state(&run_id).await, State::Fail);
    intake.requeue(&run_id).await;
    // The same bytes, and the same command signed anew, in any partition and at the same time.
    let resigned = intake.sealed(&command("cancel", "cmd-cancel-01", &run_id));
    let sent = (1..9).map(|partition| {
        let bytes = [cancel.clone(), resigned.clone()];
        let intake = &intake;
        async move { intake.bring_bytes(partition, &bytes).await }
    });
    for outcomes in futures::future::join_all(sent).await {
        assert_eq!(outcomes, [duplicate.clone(), duplicate.clone()]);
    }
    assert_eq!(intake.state(&run_id).await, State::Queued);
    let said = intake.events("request.deduplicated").await;
    assert_eq!(said.len(), 1, "a duplicate is answered once: {said:?}");
    assert_eq!(
        (&said[0]["request_id"], &said[0]["deduplication"]["because"]),
        (&json!("cmd-cancel-01"), &json!("REQUEST"))
    );
    assert_eq!(count(&intake.url, "acts WHERE act = 'CANCEL'").await, 1);

    // The id is taken for another command, and whoever has the key asks again under another id.
    let other = intake.bring(&command("publish_retry", "cmd-cancel-01", &run_id)).await;
    assert!(matches!(other, Outcome::Conflict { .. }), "{other:?}");
    let again = intake.bring(&command("cancel", "cmd-cancel-02", &run_id)).await;
    assert_eq!(again, Outcome::CommandApplied { run_id: run_id.clone() });
    assert_eq!(intake.state(&run_id).await, State::Fail);
    assert!(intake.ledger.verify_audit_log(None, None, |_, _| {}).await.unwrap().holds());
}

#[tokio::test]
async fn a_refused_command_stays_refused_and_one_that_was_kept_back_is_for_its_attempt() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let run_id = intake.admitted(&revision("req-victim-01", "a")).await;
    // Refused now, it would apply later.
    let retry = intake.sealed(&command("publish_retry", "cmd-retry-001", &run_id));
    let refused = Outcome::CommandRejected { code: FailureCode::PublishNotPending };
    assert_eq!(intake.bring_bytes(0, std::slice::from_ref(&retry)).await, [refused]);
    let parked =
        "UPDATE runs SET state = 'PUBLISH_PENDING', reason_code = 'PUBLISH_REJECTED', publish_retry_attempts = 5";
    sql(&intake.url, &[parked]).await;
    assert_eq!(intake.bring_bytes(1, &[retry]).await, [Outcome::DuplicateRequest { run_id: run_id.clone() }]);
    let run = intake.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.reason_code.as_deref(), Some("PUBLISH_REJECTED"), "it still waits for a person");
    assert_eq!(
        intake.bring(&command("publish_retry", "cmd-retry-002", &run_id)).await,
        Outcome::CommandApplied { run_id }
    );

    let run_id = intake.admitted(&revision("req-victim-02", "b")).await;
    let mut kept_back = command("cancel", "cmd-kept-0001", &run_id);
    kept_back["attempt"] = json!(0);
    let kept_back = intake.sealed(&kept_back);
    while intake.ledger.claim("w").await.unwrap().is_some() {}
    let stale = Outcome::CommandRejected { code: FailureCode::CommandNotApplicable };
    assert_eq!(intake.bring_bytes(0, &[kept_back]).await, [stale]);
    assert!(intake.events("request.rejected").await.last().unwrap().to_string().contains("at attempt 1"));
    let mut timely = command("cancel", "cmd-timely-01", &run_id);
    timely["attempt"] = json!(1);
    assert_eq!(intake.bring(&timely).await, Outcome::CommandApplied { run_id });
}

#[tokio::test]
async fn without_a_policy_there_is_one_anonymous_principal() {
    let intake = Intake::new(None).await;
    let run_id = intake.admitted(&revision("req-anyone-01", "a")).await;
    let conflict = intake.bring(&strange("req-anyone-01", "a")).await;
    assert!(matches!(&conflict, Outcome::Conflict { run_id: first, .. } if *first == run_id), "{conflict:?}");
    assert!(intake.answers().await.contains(run_id.as_str()));
    assert_eq!(intake.ledger.run_of_request("req-anyone-01").await.unwrap().unwrap().run_id, run_id);
    assert_eq!(
        intake.bring(&command("cancel", "cmd-anyone-01", &run_id)).await,
        Outcome::CommandApplied { run_id: run_id.clone() }
    );
    intake.requeue(&run_id).await;
    let again = intake.bring(&command("cancel", "cmd-anyone-01", &run_id)).await;
    assert_eq!(again, Outcome::DuplicateRequest { run_id: run_id.clone() });

    // What was taken before there was a policy stays its requester's, and is free for others.
    let intake = intake.under(policy(ALL));
    let known = intake.bring(&revision("req-anyone-01", "a")).await;
    assert_eq!(known, Outcome::DuplicateRequest { run_id: run_id.clone() });
    assert!(matches!(intake.bring(&revision("req-anyone-01", "b")).await, Outcome::Conflict { .. }));
    let again = intake.bring(&command("cancel", "cmd-anyone-01", &run_id)).await;
    assert_eq!(again, Outcome::DuplicateRequest { run_id: run_id.clone() });
    assert_eq!(intake.state(&run_id).await, State::Queued);
    intake.admitted(&strange("req-anyone-01", "a")).await;
}

#[tokio::test]
async fn commands_of_an_earlier_release_are_remembered_after_the_migration() {
    let intake = Intake::new(Some(policy(ALL))).await;
    let run_id = intake.admitted(&revision("req-earlier-1", "a")).await;
    let cancel = intake.sealed(&command("cancel", "cmd-earlier-1", &run_id));
    intake.bring_bytes(0, std::slice::from_ref(&cancel)).await;
    intake.requeue(&run_id).await;
    let before = "DROP TABLE commands; ALTER TABLE requests DROP COLUMN counted_for;
                  DELETE FROM _sqlx_migrations WHERE version = 15";
    sql(&intake.url, &[before]).await;
    intake.ledger.close().await;
    let ledger = ledger_on(&intake.url, |_| {}).await;
    let intake = Intake { ledger, ..intake };
    assert_eq!(count(&as_worker(&intake.url), "commands WHERE payload_digest IS NULL").await, 1);
    let again = intake.bring_bytes(1, &[cancel]).await;
    assert_eq!(again, [Outcome::DuplicateRequest { run_id: run_id.clone() }]);
    let other = intake.bring(&command("publish_retry", "cmd-earlier-1", &run_id)).await;
    assert!(matches!(other, Outcome::Conflict { .. }), "{other:?}");
    assert_eq!(intake.state(&run_id).await, State::Queued);
}

#[tokio::test]
async fn the_command_line_asks_which_of_several_requests_is_meant() {
    let world = World::new().await;
    let screening = Screening::from(AllowList::new([], true)).with_policy(Some(policy(ALL)));
    let (url, ledger) = (world.config.ledger.url.clone(), world.ledger.clone());
    let intake = Intake { url, ledger, screening, is_signed: true };
    let other = intake.admitted(&strange("req-shared-01", "a")).await;
    let own = intake.admitted(&revision("req-shared-01", "b")).await;
    let output = world.command(&["runs", "show", "req-shared-01"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in ["req-shared-01/stranger", other.as_str(), "req-shared-01/tests", own.as_str()] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let reason = ["--reason", "mine", "--output", "json"];
    let cancelled = world.stdout(&[&["runs", "cancel", "req-shared-01/tests"][..], &reason].concat());
    assert!(cancelled.contains(own.as_str()), "{cancelled}");
    assert_eq!((intake.state(&own).await, intake.state(&other).await), (State::Fail, State::Queued));
}
