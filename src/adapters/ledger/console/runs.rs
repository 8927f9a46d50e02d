//! Runs, newest first: by state, by id, by what was asked; page by page, by key.

use super::super::rows::stored_request;
use super::{Part, lenient, state};
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{EventProgress, TrainBuildRequest};
use crate::domain::run::State;
use chrono::{DateTime, Utc};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{QueryBuilder, Row as _};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs that one search by text looks through before it asks whether to go on.
const LOOKED_THROUGH: usize = 5_000;
/// Runs that it reads at once.
const BATCH: i64 = 500;
/// Counts stop here.
const MOST: i64 = 10_000;

/// Where a run stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// The run.
    pub run_id: String,
}

/// What a text is searched in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchBy {
    /// Run id or the id of any request, from its beginning.
    Id,
    /// The platform run of the first request, anywhere in it.
    PlatformRun,
    /// Who sent the first request.
    Requester,
    /// The scope key.
    Scope,
}

/// Which runs.
#[derive(Debug, Clone)]
pub struct RunsAsked {
    /// Only of this state.
    pub state: Option<State>,
    /// Only where this text is found there.
    pub search: Option<(SearchBy, String)>,
    /// Which part of the list.
    pub part: Part<Place>,
    /// Runs at the most.
    pub limit: usize,
}

/// A run in the list. What it was asked is absent where its record does not read back.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// The run.
    pub run_id: String,
    /// Where it stands.
    pub state: State,
    /// Full attempts so far.
    pub full_run_attempts: i32,
    /// The worker that holds it.
    pub lease_owner: Option<String>,
    /// Code of the last reason.
    pub reason_code: Option<String>,
    /// How far the trainer was when it last said so.
    pub progress: Option<EventProgress>,
    /// Its first request's id.
    pub request_id: String,
    /// Its first request.
    pub request: Option<Arc<TrainBuildRequest>>,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone)]
pub struct RunPage {
    /// The runs.
    pub rows: Vec<RunRow>,
    /// There are newer ones than this.
    pub newer: Option<Place>,
    /// There are, or may be, older ones than this.
    pub older: Option<Place>,
    /// The search stopped after so many runs; older ones were not looked at yet.
    pub stopped_after: Option<usize>,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

impl RunRow {
    fn place(&self) -> Place {
        Place { created_at: self.created_at, run_id: self.run_id.clone() }
    }

    fn fits(&self, by: SearchBy, text: &str) -> bool {
        let Some(request) = &self.request else { return false };
        let found = |within: &str| within.to_lowercase().contains(&text.to_lowercase());
        match by {
            // The statement itself looked for it.
            SearchBy::Id => true,
            SearchBy::PlatformRun => found(&request.platform_run_id),
            SearchBy::Requester => found(&request.requester_principal),
            SearchBy::Scope => found(&request.target_scope.scope_key()),
        }
    }
}

impl Ledger {
    /// A page of runs. What is admitted meanwhile moves no run from one page to another.
    pub async fn run_page(&self, asked: &RunsAsked) -> Result<RunPage, Error> {
        let now = self.clock().await?;
        let (mut rows, stopped) = self.some_runs(asked, &asked.part).await?;
        let more = rows.len() > asked.limit;
        let ascending = matches!(asked.part, Part::NewerThan(_));
        if ascending && !more && stopped.is_none() {
            // All that is newer fits: then it is the newest page, and that one may hold more.
            let newest = RunsAsked { part: Part::Newest, ..asked.clone() };
            return Box::pin(self.run_page(&newest)).await;
        }
        rows.truncate(asked.limit);
        let far_end = if more { rows.last().map(RunRow::place) } else { stopped.clone() };
        let near_end = match &asked.part {
            Part::Newest => None,
            Part::OlderThan(place) | Part::NewerThan(place) => {
                Some(rows.first().map_or_else(|| place.clone(), RunRow::place))
            }
        };
        let stopped_after = stopped.filter(|_| !more).map(|_| LOOKED_THROUGH);
        let (newer, older) = if ascending { (far_end, near_end) } else { (near_end, far_end) };
        if ascending {
            rows.reverse();
        }
        Ok(RunPage { rows, newer, older, stopped_after, now })
    }

    /// One more run than asked for shows that there are more; the place says where a search stopped before its end.
    async fn some_runs(&self, asked: &RunsAsked, from: &Part<Place>) -> Result<(Vec<RunRow>, Option<Place>), Error> {
        let wanted = asked.limit + 1;
        let Some((by, text)) = asked.search.as_ref().filter(|(by, _)| *by != SearchBy::Id) else {
            return Ok((self.runs_in(asked, from, wanted as i64).await?, None));
        };
        let (mut found, mut part, mut looked) = (Vec::new(), from.clone(), 0);
        while looked < LOOKED_THROUGH {
            let batch = self.runs_in(asked, &part, BATCH).await?;
            looked += batch.len();
            let last = (batch.len() as i64 == BATCH).then(|| batch.last().map(RunRow::place)).flatten();
            found.extend(batch.into_iter().filter(|row| row.fits(*by, text)));
            let Some(last) = last.filter(|_| found.len() < wanted) else {
                found.truncate(wanted);
                return Ok((found, None));
            };
            part = match from {
                Part::NewerThan(_) => Part::NewerThan(last),
                Part::Newest | Part::OlderThan(_) => Part::OlderThan(last),
            };
        }
        let stopped = match part {
            Part::OlderThan(place) | Part::NewerThan(place) => Some(place),
            Part::Newest => None,
        };
        Ok((found, stopped))
    }

    async fn runs_in(&self, asked: &RunsAsked, part: &Part<Place>, limit: i64) -> Result<Vec<RunRow>, Error> {
        let mut query: QueryBuilder<Postgres> = QueryBuilder::new(
            r#"SELECT r.run_id, r.state::text, r.full_run_attempts, r.lease_owner, r.reason_code, r.progress,
                      r.request_id, i.value, r.created_at, r.updated_at
               FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE true"#,
        );
        if let Some(state) = asked.state {
            query.push(" AND r.state = ").push_bind(state.as_str()).push("::run_state");
        }
        if let Some((SearchBy::Id, text)) = &asked.search {
            by_id(&mut query, text);
        }
        let order = match part {
            Part::Newest => "DESC",
            Part::OlderThan(place) => {
                // The first condition is for the index, the second for runs of the same instant.
                query.push(" AND r.created_at <= ").push_bind(place.created_at);
                query.push(" AND (r.created_at, r.run_id) < (").push_bind(place.created_at);
                query.push(", ").push_bind(place.run_id.clone()).push(")");
                "DESC"
            }
            Part::NewerThan(place) => {
                query.push(" AND r.created_at >= ").push_bind(place.created_at);
                query.push(" AND (r.created_at, r.run_id) > (").push_bind(place.created_at);
                query.push(", ").push_bind(place.run_id.clone()).push(")");
                "ASC"
            }
        };
        query.push(format!(" ORDER BY r.created_at {order}, r.run_id {order} LIMIT ")).push_bind(limit);
        // Planned for these very values: a rare state wants another plan than a common one.
        let rows = query.build().persistent(false).fetch_all(&self.pool).await?;
        rows.iter().map(run_row).collect()
    }

    /// How many runs there are in each state; those of one state are counted up to [`Self::MOST_COUNTED`] and one
    /// more.
    pub async fn counts_by_state(&self) -> Result<BTreeMap<&'static str, i64>, Error> {
        let rows = sqlx::query(
            "SELECT s.state::text, (SELECT count(*) FROM (SELECT FROM runs r WHERE r.state = s.state LIMIT $1) counted)
             FROM unnest(enum_range(NULL::run_state)) AS s (state)",
        )
        .bind(MOST + 1)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((state(row.try_get(0)?)?.as_str(), row.try_get(1)?))).collect()
    }

    /// Where counts stop.
    pub const MOST_COUNTED: i64 = MOST;
}

/// By the beginning of a run id or of the id of any request. Comparisons, not a pattern: `_` and `%` mean
/// themselves.
fn by_id(query: &mut QueryBuilder<Postgres>, text: &str) {
    let digits = text.strip_prefix("tr_").filter(|digits| {
        digits.len() <= 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    query.push(" AND r.run_id IN (");
    if let Some(digits) = digits {
        // Ids of this form stand in the same order in every collation.
        query.push("SELECT s.run_id FROM runs s WHERE s.run_id BETWEEN ").push_bind(format!("tr_{digits:0<32}"));
        query.push(" AND ").push_bind(format!("tr_{digits:f<32}"));
        query.push(" AND starts_with(s.run_id, ").push_bind(text.to_owned()).push(") UNION ALL ");
    }
    query.push("SELECT p.run_id FROM requests p WHERE p.request_id ~>=~ ").push_bind(text.to_owned());
    // Above every character that a request id may have.
    query.push(" AND p.request_id ~<~ ").push_bind(format!("{text}\u{7f}")).push(")");
}

fn run_row(row: &PgRow) -> Result<RunRow, Error> {
    let request: Option<&[u8]> = row.try_get(7)?;
    Ok(RunRow {
        run_id: row.try_get(0)?,
        state: state(row.try_get(1)?)?,
        full_run_attempts: row.try_get(2)?,
        lease_owner: row.try_get(3)?,
        reason_code: row.try_get(4)?,
        progress: lenient(row.try_get(5)?),
        request_id: row.try_get(6)?,
        request: stored_request(request).ok(),
        created_at: row.try_get(8)?,
        updated_at: row.try_get(9)?,
    })
}
