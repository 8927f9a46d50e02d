//! The console on a real ledger and a real store: what it shows, what it finds, and what it never hands out.

mod findings;

use crate::support::{
    OwnPostgres, admit_one, arrival, bring, claim, fresh_database, ledger_on, request, revision, sql,
};
use bytes::Bytes;
use model_factory::adapters::evidence::{EvidencePath, EvidenceSettings, EvidenceStore};
use model_factory::adapters::ledger::{CommandRequest, Error, Guarded, Ledger, LedgerSettings, RunCommand, Step};
use model_factory::domain::contract::{EventRefs, EvidenceRef, SchemaName, schema_text};
use model_factory::domain::identity::{Digest, RunId};
use model_factory::domain::run::{Outcome, State, Transition};
use model_factory::modelling::lineage::LineageSettings;
use model_factory::worker::http::console::Console;
use model_factory::worker::http::{Health, Readiness, Scrapers};
use model_factory::worker::liveness::Watchdog;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const HOSTILE: &str = "\"'><script>alert(1)</script>&<img src=x onerror=alert(1)>";

/// A served console with its ledger and store.
struct Site {
    database: String,
    ledger: Ledger,
    store: EvidenceStore,
    folder: tempfile::TempDir,
    address: SocketAddr,
    _draining: watch::Sender<bool>,
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Site {
    async fn new() -> Self {
        let database = fresh_database().await;
        let ledger = ledger_on(&database, |_| {}).await;
        Self::over(database, ledger, Readiness::default(), Watchdog::new(Duration::from_hours(1))).await
    }

    async fn over(database: String, ledger: Ledger, readiness: Readiness, watchdog: Watchdog) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let store = EvidenceStore::open(&EvidenceSettings { url, ..EvidenceSettings::default() }).unwrap();
        let (draining, drained) = watch::channel(false);
        let health = Health { readiness, watchdog, draining: drained, scrapers: Scrapers::default() };
        let console = Console::new(&ledger, Ok(store.clone()), health, "worker-1".to_owned()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, console.router()).await });
        Self { database, ledger, store, folder, address, _draining: draining }
    }

    async fn send(&self, method: &str, path: &str) -> Response {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        let response = String::from_utf8_lossy(&response).into_owned();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// A page with status 200 and harmless markup.
    async fn page(&self, path: &str) -> String {
        let response = self.send("GET", path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        harmless(&response.body);
        response.body
    }

    /// As the database's owner.
    async fn sql(&self, statement: &str) {
        sql(&self.database, &[statement]).await;
    }

    /// Puts bytes into the store, for a step that names them.
    async fn leaves(&self, refs: &mut EventRefs, role: &str, bytes: &[u8]) -> PathBuf {
        let name = format!("{role}.json");
        let path = EvidencePath::of(["run", name.as_str()]).unwrap();
        self.store.put(&path, Bytes::copy_from_slice(bytes)).await.unwrap();
        refs.insert(role.to_owned(), named(path.as_str(), bytes));
        self.folder.path().join("run").join(name)
    }
}

fn named(reference: &str, bytes: &[u8]) -> EvidenceRef {
    EvidenceRef { reference: reference.to_owned(), sha256: Digest::of(bytes) }
}

/// No markup on the page comes from the data.
fn harmless(page: &str) {
    for markup in ["<script", "<img", "onerror=\"", "javascript:", " style="] {
        assert!(!page.contains(markup), "{markup} in {page}");
    }
}

/// The run ids on a page, in order.
fn runs(page: &str) -> Vec<String> {
    let links = page.split("<a class=\"run\"").skip(1);
    links.map(|link| link.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned()).collect()
}

/// The target of the page's link with this `rel`.
fn link(page: &str, rel: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("rel=\"{rel}\" href=\""))?;
    Some(rest.split_once('"')?.0.replace("&amp;", "&"))
}

async fn admitted(ledger: &Ledger, value: &Value) -> RunId {
    match bring(ledger, value).await {
        Outcome::Admitted { run_id } => run_id,
        other => panic!("{other:?}"),
    }
}

fn with(request_id: &str, fields: &Value) -> Value {
    let mut request = request(request_id);
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_is_counted_and_filtered() {
    let site = Site::new().await;
    let held = "lease_owner = 'w', lease_expires_at = now() + interval '1 hour', execution_mode = 'FULL'";
    let mut by_state = Vec::new();
    for (index, state) in State::ALL.iter().enumerate() {
        let run_id = admit_one(&site.ledger, &format!("state-{index}")).await;
        let rest = match state {
            State::Running | State::EvalReady => held,
            State::Fail => "reason_code = 'GATE_FAIL'",
            State::Published => "published_topic = 't', published_partition = 0, published_offset = 7",
            State::Queued | State::Pass | State::PublishPending => "fence = 0",
        };
        site.sql(&format!("UPDATE runs SET state = '{state}', {rest} WHERE run_id = '{run_id}'")).await;
        by_state.push((state, run_id));
    }
    let all = site.page("/").await;
    assert_eq!(runs(&all).len(), 7);
    assert!(all.contains("All<span class=\"count\">7</span>"));
    for (state, run_id) in by_state {
        let page = site.page(&format!("/?state={state}")).await;
        assert_eq!(runs(&page), [run_id.as_str()], "{state}");
        let own = "<span class=\"count\">1</span></a>";
        assert_eq!(page.matches(own).count(), 7, "one of each state");
        let page = site.page(&format!("/runs/{run_id}")).await;
        assert!(page.contains(&format!("\">{state}</span>")), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_takes_every_character_as_itself() {
    let site = Site::new().await;
    let ledger = &site.ledger;
    let scope = |tenant: &str| json!({"environment": "test", "mode": "fraud", "bundle_slot": "b", "tenant_id": tenant});
    let first = admitted(ledger, &with("req_a-0001", &json!({"requester_principal": "50%_off <b>"}))).await;
    let fields = json!({"config_revision": "c2", "requester_principal": "500 off", "target_scope": scope("t_1")});
    let second = admitted(ledger, &with("reqxa-0001", &fields)).await;
    bring(ledger, &with("joined-0001", &json!({"requester_principal": "50%_off <b>"}))).await;
    let (first, second) = (first.as_str(), second.as_str());
    let platform = request("r")["platform_run_id"].as_str().unwrap().to_owned();
    for (query, found) in [
        ("q=req_a", vec![first]),
        ("q=req%25", vec![]),
        ("q=req", vec![second, first]),
        ("q=eq_a", vec![]),
        ("q=joined-0001", vec![first]),
        (&format!("q={first}"), vec![first]),
        (&format!("q={}", &second[..20]), vec![second]),
        ("q=tr_", vec![second, first]),
        ("q=tr__", vec![]),
        ("by=requester&q=50%25_OFF", vec![first]),
        ("by=requester&q=50_", vec![]),
        ("by=requester&q=%3Cb%3E", vec![first]),
        ("by=scope&q=t_1", vec![second]),
        ("by=scope&q=t%251", vec![]),
        (&format!("by=platform_run&q={platform}"), vec![second, first]),
        ("by=requester&q=off&state=FAIL", vec![]),
        ("q=%27%3B+DROP+TABLE+runs%3B--", vec![]),
    ] {
        assert_eq!(runs(&site.page(&format!("/?{query}")).await), found, "{query}");
    }
}

/// Admits so many runs in one transaction, so that all have the same time.
async fn batch(ledger: &Ledger, offset: i64, count: i64) {
    let name = |n| format!("batch-{}", offset + n);
    let arrivals: Vec<_> =
        (0..count).map(|n| arrival(offset + n, &revision(&format!("req-{}", name(n)), &name(n)))).collect();
    let outcomes = ledger.admit(&arrivals, "w").await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Admitted { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_repeat_nor_lose_a_run_while_others_arrive() {
    let site = Site::new().await;
    batch(&site.ledger, 0, 70).await;
    batch(&site.ledger, 1_000, 50).await;
    for start in ["/", "/?by=requester&q=tests"] {
        let mut page = site.page(start).await;
        let before = page.clone();
        let mut pages = vec![runs(&page)];
        let (mut behind, offset) = (0, if start == "/" { 2_000 } else { 4_000 });
        while let Some(older) = link(&page, "next") {
            batch(&site.ledger, offset + behind * 10, 10).await;
            behind += 1;
            page = site.page(&older).await;
            pages.push(runs(&page));
        }
        let all: Vec<&String> = pages.iter().flatten().collect();
        let known = if start == "/" { 120 } else { 140 };
        assert_eq!(all.len(), known, "{start}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), known, "a run stands on two pages");
        for expected in pages.iter().rev().skip(1).take(pages.len() - 1) {
            page = site.page(&link(&page, "prev").unwrap()).await;
            assert_eq!(&runs(&page), expected, "{start}: the way back is another");
        }
        // Runs that arrived meanwhile are newer than all of these; no page is newer than theirs.
        assert_eq!(link(&before, "prev"), None);
        let newest = site.page(&link(&page, "prev").unwrap()).await;
        assert!(runs(&newest).iter().take(10 * behind as usize).all(|run| !all.contains(&run)));
        assert_eq!((runs(&newest).len(), link(&newest, "prev")), (50, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_text_is_text_wherever_it_can_stand() {
    let site = Site::new().await;
    let ledger = &site.ledger;
    let fields = json!({"requester_principal": HOSTILE, "config_revision": HOSTILE, "mf_code_release_id": HOSTILE});
    let run_id = admitted(ledger, &with("req-hostile-0001", &fields)).await;
    let mut near = with("req-hostile-0002", &fields);
    near["config_revision"] = json!(HOSTILE.to_uppercase());
    bring(ledger, &near).await;
    ledger
        .command(&run_id, CommandRequest { command: RunCommand::Cancel, actor: HOSTILE, why: HOSTILE })
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    bring(ledger, &with("req-hostile-0003", &json!({HOSTILE: HOSTILE}))).await;
    bring(ledger, &with(HOSTILE, &json!({}))).await;
    // A CHECK of the ledger bounds a run's id; this is the longest script that it lets through.
    site.sql(
        "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, publish_allowed, available_at, created_at, updated_at)
         VALUES ('tr_<script>alert(1)</script>_______', sha256('a'), sha256('b'), '<script>', '<script>', false,
                 now() + interval '1 day', now(), now())",
    )
    .await;

    let list = site.page("/").await;
    assert!(list.contains("tr_&lt;script&gt;alert(1)&lt;/script&gt;_______") && list.contains("does not read back"));
    assert!(list.contains("by &quot;'&gt;&lt;script&gt;"));
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;img").count() >= 6, "{page}");
    assert!(page.contains("CANCELLED") && page.contains("Near miss"));
    let named = site.send("GET", "/runs/tr_%3Cscript%3Ealert(1)%3C%2Fscript%3E_______").await;
    harmless(&named.body);
    assert_eq!(named.status, 404);

    let letters = site.page("/dead-letters").await;
    let hrefs: Vec<&str> = letters.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let hrefs: Vec<&str> = hrefs.into_iter().filter(|href| href.starts_with("/dead-letters/")).collect();
    assert_eq!(hrefs.len(), 2);
    for href in hrefs {
        let page = site.page(href).await;
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("model-factory dead-letters replay requests/0/"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_forbids_the_browser_to_run_and_to_keep_anything() {
    let site = Site::new().await;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/dead-letters", 200),
        ("GET", "/workers", 200),
        ("GET", "/health", 200),
        ("GET", "/?state=LOST", 400),
        ("GET", "/?page=2", 400),
        ("GET", "/?older=yesterday", 400),
        ("GET", "/dead-letters?older=x", 400),
        ("GET", "/workers?live=on", 400),
        ("GET", "/nowhere", 404),
        ("GET", "/runs/tr_none", 404),
        ("GET", "/runs/%FF", 404),
        ("GET", "/runs/tr_00000000000000000000000000000000", 404),
        ("GET", "/runs/tr_00000000000000000000000000000000/evidence/plan", 404),
        ("GET", "/dead-letters/requests/0/9", 404),
        ("GET", "/dead-letters/requests/zero/9", 404),
        ("POST", "/", 405),
        ("DELETE", "/runs/tr_00000000000000000000000000000000", 405),
    ] {
        let response = site.send(method, path).await;
        assert_eq!(response.status, status, "{method} {path}");
        harmless(&response.body);
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(response.head.contains(header), "{method} {path} lacks {header}: {}", response.head);
        }
        assert!(status == 200 || response.body.contains("<h1>"), "{path} is no page");
    }
    let page = site.page("/").await;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let (address, _) = rest.split_once('"').unwrap();
    let style = site.send("GET", address).await;
    let digest = Digest::of(style.body.as_bytes()).to_string();
    assert_eq!(address, format!("/console.css?{}", &digest[..12]), "an older sheet must not be kept");
    assert!(style.status == 200 && style.head.contains("content-type: text/css") && !style.body.contains("url("));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_shows_its_documents_and_hands_out_only_what_its_steps_name() {
    let site = Site::new().await;
    let run_id = admit_one(&site.ledger, "evidence").await;
    let lease = claim(&site.ledger).await;
    let takes = async |step: Step| assert!(matches!(site.ledger.advance(&lease, &[step]).await, Ok(Guarded::Won(_))));
    let (mut files, mut refs) = (Vec::new(), EventRefs::new());
    for (role, schema) in [
        ("resolved_train_plan", SchemaName::ResolvedTrainPlan),
        ("eval_report", SchemaName::EvalReport),
        ("gate_receipt", SchemaName::GateReceipt),
    ] {
        let schema: Value = serde_json::from_str(schema_text(schema)).unwrap();
        files.push(site.leaves(&mut refs, role, schema["examples"][0].to_string().as_bytes()).await);
    }
    takes(Step::to(Transition::FinishEvaluation, refs)).await;
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert_eq!(page.matches("role=\"img\"").count(), 4, "ROC, precision and recall, calibration, scores");
    assert!(page.contains("✓ holds") && page.contains("auc_roc") && !page.contains("cannot be shown"));

    let path = format!("/runs/{run_id}/evidence/eval_report");
    let report = site.send("GET", &path).await;
    assert_eq!((report.status, report.body.as_bytes()), (200, std::fs::read(&files[1]).unwrap().as_slice()));
    for header in [
        "content-type: application/json\r\n",
        "content-disposition: attachment; filename=\"eval_report.json\"\r\n",
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox\r\n",
        "x-content-type-options: nosniff\r\n",
    ] {
        assert!(report.head.contains(header), "{header}: {}", report.head);
    }
    std::fs::write(site.folder.path().join("run/other.json"), "not named").unwrap();
    std::fs::write(site.folder.path().join("outside"), "secret").unwrap();
    let bad = [("climbing", named("run/../outside", b"secret")), ("gone", named("run/gone.json", b"gone"))];
    takes(Step::to(Transition::PassGate, bad.map(|(role, at)| (role.to_owned(), at)).into())).await;
    for (role, status) in
        [("other", 404), ("run%2Fother.json", 404), ("..%2F..%2Foutside", 404), ("climbing", 500), ("gone", 404)]
    {
        let response = site.send("GET", &format!("/runs/{run_id}/evidence/{role}")).await;
        assert_eq!(response.status, status, "{role}");
        assert!(!response.body.contains("not named") && !response.body.contains("secret"), "{role}");
    }

    // Another document that somebody names in the row, beside the log, is neither shown nor handed out.
    let other = json!({"eval_report": named("run/other.json", b"not named")});
    site.sql(&format!("UPDATE runs SET refs = refs || '{other}' WHERE run_id = '{run_id}'")).await;
    let response = site.send("GET", &path).await;
    assert_eq!(response.status, 500);
    assert!(response.body.contains("audit verify") && !response.body.contains("not named"), "{}", response.body);
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert!(page.contains("evaluation report cannot be shown") && page.contains("Somebody changed the row"));
    assert!(page.contains("evidence/gate_receipt") && !page.contains("evidence/eval_report"));
    let back = json!({"eval_report": named("run/eval_report.json", report.body.as_bytes())});
    site.sql(&format!("UPDATE runs SET refs = refs || '{back}' WHERE run_id = '{run_id}'")).await;
    assert_eq!(site.send("GET", &path).await.status, 200, "the row says again what its last step says");

    // A document that was changed in the store is neither shown nor handed out.
    let changed = report.body.replace("auc_roc", "auc_rox");
    std::fs::write(&files[1], &changed).unwrap();
    let response = site.send("GET", &path).await;
    assert_eq!(response.status, 500);
    assert!(response.body.contains("not the bytes that the run wrote") && !response.body.contains("auc_rox"));
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert!(page.contains("evaluation report cannot be shown") && page.contains("✓ holds"));
    assert_eq!(page.matches("role=\"img\"").count(), 0);
    // Without the store the page still shows what the ledger holds.
    std::fs::remove_dir_all(site.folder.path()).unwrap();
    assert!(site.page(&format!("/runs/{run_id}")).await.contains("Timeline"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runs_page_shows_who_joined_it_and_which_events_were_sent() {
    let site = Site::new().await;
    let run_id = admit_one(&site.ledger, "joined").await;
    let mut again = revision("req-joined-0002", "joined");
    again["requester_principal"] = json!("somebody else");
    bring(&site.ledger, &again).await;
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert!(page.contains("the run was made for it"));
    assert!(page.contains("same meaning") && page.contains("<code>/requester_principal</code>"));
    assert_eq!(page.matches("waits for ").count(), 2, "admitted and deduplicated wait in the outbox");
    let sent = "sent_at = now(), sent_topic = 'lifecycle', sent_partition = 3, sent_offset = 41";
    site.sql(&format!("UPDATE outbox SET {sent} WHERE seq = 1")).await;
    let page = site.page(&format!("/runs/{run_id}")).await;
    assert!(page.contains("lifecycle/3/41"));
    assert_eq!(page.matches("waits for ").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_and_health_show_who_holds_what_and_what_is_wrong() {
    let database = fresh_database().await;
    let lineage = LineageSettings { enabled: true, ..LineageSettings::default() };
    let ledger = ledger_on(&database, |_| {}).await.emitting_lineage(&lineage, 100_000);
    let mut readiness = Readiness::default();
    readiness.require("broker", (), |()| std::future::ready(Err("it is away")));
    let watchdog = Watchdog::new(Duration::ZERO);
    let _stuck = watchdog.of("relay");
    let site = Site::over(database, ledger, readiness, watchdog).await;
    admit_one(&site.ledger, "held").await;
    admit_one(&site.ledger, "queued").await;
    let lease = site.ledger.claim("runner-7").await.unwrap().unwrap();
    site.ledger.take_shards("relay-9", 16).await.unwrap();

    let workers = site.page("/workers").await;
    assert_eq!(runs(&workers), [lease.run_id.as_str()]);
    assert!(workers.contains("<code>runner-7</code>") && workers.contains("<code>relay-9</code>"));
    assert!(workers.contains("0–15"));
    let health = site.page("/health").await;
    assert!(health.contains("The loop <code>relay</code> is late"));
    assert!(health.contains("The broker is not at hand: it is away"));
    let line = |name: &str| {
        let (_, rest) = health.split_once(&format!("{name}</th>")).unwrap();
        let (_, count) = rest.split_once("data-label=\"Waiting\">").unwrap();
        count.split('<').next().unwrap().to_owned()
    };
    assert_eq!([line("Runs that no worker has taken"), line("Lifecycle events to be sent")], ["1", "3"]);
    assert_eq!(line("Lineage events to be sent"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_refuses_what_the_console_would_write() {
    let site = Site::new().await;
    let run_id = admit_one(&site.ledger, "written").await;
    let console = site.ledger.for_the_console().unwrap();
    assert!(console.run(&run_id).await.unwrap().is_some());
    let refused = console.claim("w").await.unwrap_err();
    assert!(matches!(&refused, Error::Unavailable(why) if why.contains("read-only")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_there_is_a_page_that_says_so() {
    let mut postgres = OwnPostgres::start();
    let database = postgres.url();
    let ledger = Ledger::connect(&LedgerSettings { url: database.clone(), ..LedgerSettings::default() }).await.unwrap();
    ledger.migrate().await.unwrap();
    let site = Site::over(database, ledger, Readiness::default(), Watchdog::new(Duration::from_hours(1))).await;
    assert!(site.page("/").await.contains("There are no runs yet."));
    postgres.go_away();
    for path in ["/", "/dead-letters", "/workers", "/runs/tr_00000000000000000000000000000000"] {
        let response = site.send("GET", path).await;
        assert_eq!(response.status, 503, "{path}: {}", response.body);
        assert!(response.body.contains("This cannot be shown now") && response.body.contains("http-equiv=\"refresh\""));
        assert!(response.head.contains("content-security-policy: default-src 'none'"));
    }
    let health = site.send("GET", "/health").await;
    assert_eq!(health.status, 503);
    assert!(health.body.contains("Its loops turn.") && health.body.contains("The ledger does not say"));
}
