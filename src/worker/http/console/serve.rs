//! Routes of the console. Each reads the address, queries ledger, store and worker, and renders the page.

use super::dead_letters::{SHOWN_BYTES, dead_letter, dead_letters};
use super::frame::STYLE;
use super::health::{HealthView, health};
use super::query::{RunsQuery, read_dead_letters, read_quiet};
use super::run::{EVENTS, RunView, run};
use super::runs::{RunsView, runs};
use super::sources::Console;
use super::trouble::Trouble;
use super::workers::workers;
use crate::adapters::ledger::{Coordinates, Error, RunRecord};
use crate::domain::identity::RunId;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::Markup;
use std::sync::Arc;
use std::time::Duration;

/// Upper bound on the requests that the page of a run shows.
const REQUESTS: i64 = 100;
/// Upper bound on the dead letters on a page.
const LETTERS: usize = 50;

/// Timeout of all reads of a page together. A connection ends a few seconds later, so that the client gets an answer.
const PAGE: Duration = Duration::from_secs(12);

const ICON: &str = include_str!("console.svg");

/// Content-Security-Policy of pages. Evidence documents have a stricter one.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

type Shared = State<Arc<Console>>;
type Segments<T> = Result<Path<T>, PathRejection>;
type Rendered = Result<Response, Trouble>;

impl Console {
    /// Returns the routes of all pages.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(list_runs))
            .route("/runs/{run_id}", get(show_run))
            .route("/runs/{run_id}/evidence/{role}", get(download))
            .route("/dead-letters", get(list_dead_letters))
            .route("/dead-letters/{topic}/{partition}/{offset}", get(show_dead_letter))
            .route("/workers", get(list_workers))
            .route("/health", get(show_health))
            .route("/console.css", get(sheet))
            .route("/console.svg", get(icon))
            .method_not_allowed_fallback(async || Trouble::NotAllowed)
            .fallback(nowhere)
            .layer(map_response(guarded))
            .with_state(Arc::new(self))
    }
}

/// Adds the usual headers that a response has not set itself. They make the browser run nothing, load nothing from
/// other hosts and cache nothing.
async fn guarded(mut response: Response) -> Response {
    let usual: [(HeaderName, &'static str); 7] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in usual {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Runs a query to its end even if the browser disconnects, because a query that is dropped half-way still occupies its
/// connection. Waits at most [`PAGE`] for it.
async fn uncancelled<T, E>(query: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, Trouble>
where
    T: Send + 'static,
    E: Send + 'static,
    Trouble: From<E>,
{
    #[expect(clippy::disallowed_methods, reason = "a query to the database is never dropped half-way")]
    let finished = tokio::spawn(query);
    match tokio::time::timeout(PAGE, finished).await {
        Err(_) => Err(Trouble::Away(format!("ledger and evidence store did not answer within {PAGE:?}"))),
        Ok(Ok(outcome)) => Ok(outcome?),
        Ok(Err(panic)) => Err(Trouble::Broken(format!("the page could not be made: {panic}"))),
    }
}

fn shown(page: &Markup) -> Response {
    Html(page.0.clone()).into_response()
}

async fn nowhere(uri: Uri) -> Trouble {
    Trouble::NotThere(format!("Nothing is served at {:?}.", uri.path()))
}

async fn list_runs(State(console): Shared, RawQuery(raw): RawQuery) -> Rendered {
    let query = RunsQuery::read(raw.as_deref().unwrap_or_default())?;
    let worker = console.worker.clone();
    let view = uncancelled::<_, Error>(async move {
        let counts = console.ledger.counts_by_state().await?;
        let page = console.ledger.run_page(&query.to_ledger()).await?;
        Ok(RunsView { query, counts, page })
    });
    Ok(shown(&runs(&view.await?, &worker)))
}

async fn find_run(console: &Console, run_id: &str) -> Result<RunRecord, Trouble> {
    let no_id = |why| Trouble::NotThere(format!("{run_id:?} names no run: {why}."));
    let run_id: RunId = run_id.parse().map_err(no_id)?;
    let unknown = || Trouble::NotThere(format!("The ledger knows no run {run_id}."));
    console.ledger.run(&run_id).await?.ok_or_else(unknown)
}

async fn show_run(State(console): Shared, segments: Segments<String>, RawQuery(raw): RawQuery) -> Rendered {
    let Path(run_id) = segments.map_err(|rejection| unreadable(&rejection))?;
    let quiet = read_quiet(raw.as_deref().unwrap_or_default())?;
    let worker = console.worker.clone();
    let view = uncancelled::<_, Trouble>(async move {
        let ledger = &console.ledger;
        let run = find_run(&console, &run_id).await?;
        let evidence = ledger.evidence_of(&run.run_id).await?;
        let (plan, report, decision, receipt) = tokio::join!(
            console.document(&evidence, "resolved_train_plan"),
            console.document(&evidence, "eval_report"),
            console.document(&evidence, "decision_report"),
            console.document(&evidence, "gate_receipt"),
        );
        Ok(RunView {
            steps: ledger.transitions(&run.run_id).await?,
            requests: ledger.requests_of(&run.run_id, REQUESTS).await?,
            request_count: ledger.count_requests_of(&run.run_id).await?,
            near_misses: ledger.near_misses(&run.run_id).await?,
            acts: ledger.acts_of(&run.run_id).await?,
            events: ledger.events_of(&run.run_id, EVENTS as i64 + 1).await?,
            now: ledger.clock().await?,
            plan,
            report,
            decision,
            receipt,
            evidence,
            run,
            quiet,
        })
    });
    Ok(shown(&run(&view.await?, &worker)))
}

async fn download(State(console): Shared, segments: Segments<(String, String)>) -> Rendered {
    let Path((run_id, role)) = segments.map_err(|rejection| unreadable(&rejection))?;
    uncancelled::<_, Trouble>(async move {
        let run = find_run(&console, &run_id).await?;
        console.download(&console.ledger.evidence_of(&run.run_id).await?, &role).await
    })
    .await
}

async fn list_dead_letters(State(console): Shared, RawQuery(raw): RawQuery) -> Rendered {
    let (part, quiet) = read_dead_letters(raw.as_deref().unwrap_or_default())?;
    let (worker, wanted) = (console.worker.clone(), part.clone());
    let found = uncancelled::<_, Error>(async move { console.ledger.dead_letter_page(wanted, LETTERS).await });
    Ok(shown(&dead_letters(&found.await?, &part, quiet, &worker)))
}

async fn show_dead_letter(
    State(console): Shared,
    segments: Segments<(String, i32, i64)>,
    RawQuery(raw): RawQuery,
) -> Rendered {
    let Path((topic, partition, offset)) = segments.map_err(|rejection| unreadable(&rejection))?;
    let quiet = read_quiet(raw.as_deref().unwrap_or_default())?;
    let source = Coordinates { topic, partition, offset };
    let unknown = format!("No rejected record stood at {source}.");
    let worker = console.worker.clone();
    let found = uncancelled::<_, Error>(async move { console.ledger.dead_letter_text(&source, SHOWN_BYTES).await });
    let found = found.await?.ok_or(Trouble::NotThere(unknown))?;
    Ok(shown(&dead_letter(&found, quiet, &worker)))
}

async fn list_workers(State(console): Shared, RawQuery(raw): RawQuery) -> Rendered {
    let quiet = read_quiet(raw.as_deref().unwrap_or_default())?;
    let worker = console.worker.clone();
    let found = uncancelled::<_, Error>(async move { console.ledger.leases().await });
    Ok(shown(&workers(&found.await?, quiet, &worker)))
}

/// Shows this worker's own state even if the ledger cannot be read.
async fn show_health(State(console): Shared, RawQuery(raw): RawQuery) -> Rendered {
    let quiet = read_quiet(raw.as_deref().unwrap_or_default())?;
    let (late, draining) = (console.health.watchdog.late(), *console.health.draining.borrow());
    let (readiness, worker) = (console.health.readiness.clone(), console.worker.clone());
    let reading =
        uncancelled::<_, Error>(async move { Ok(console.ledger.depth().await.map_err(|error| error.to_string())) });
    let (missing, depth) = (readiness.missing().await, reading.await?);
    let status = if depth.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let view = HealthView { depth, late, missing, draining, quiet };
    Ok((status, Html(health(&view, &worker).into_string())).into_response())
}

async fn sheet() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")];
    (headers, STYLE.as_str()).into_response()
}

async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "max-age=3600")], ICON).into_response()
}

fn unreadable(rejection: &PathRejection) -> Trouble {
    Trouble::NotThere(format!("The address names nothing: {}.", rejection.body_text()))
}
