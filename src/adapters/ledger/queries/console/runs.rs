//! Reads pages of runs, newest first, filtered by state, id or first request. A cursor names where the next page
//! begins.

use crate::adapters::ledger::columns::Readable;
use crate::adapters::ledger::row::select_run;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{EventProgress, TrainBuildRequest};
use crate::domain::run::State;
use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use std::collections::BTreeMap;

/// Upper bound on the runs that one search by text reads. The page then offers to go on.
const LOOKED_THROUGH: usize = 5_000;
const BATCH: i64 = 500;

/// Which part of a list to read. `K` is the key that orders the list. New rows appear only at the newest end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagePart<K> {
    Newest,
    /// The newest of the rows that are older than this key.
    OlderThan(K),
    /// The oldest of the rows that are newer than this key.
    NewerThan(K),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCursor {
    pub created_at: DateTime<Utc>,
    pub run_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchBy {
    /// Beginning of the run id, or of the id of any request of the run.
    Id,
    /// Any part of the first request's `platform_run_id`.
    PlatformRun,
    Requester,
    Scope,
}

#[derive(Debug, Clone)]
pub struct RunQuery {
    pub state: Option<State>,
    pub search: Option<(SearchBy, String)>,
    pub part: PagePart<RunCursor>,
    pub limit: usize,
}

#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct RunRow {
    pub run_id: String,
    pub state: State,
    pub full_run_attempts: i32,
    pub lease_owner: Option<String>,
    pub reason_code: Option<String>,
    pub progress: Readable<EventProgress>,
    pub request_id: String,
    /// The run's first request. Empty if its stored record cannot be read.
    pub request: Readable<TrainBuildRequest>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx_macros::FromRow)]
struct StateCount {
    state: State,
    counted: i64,
}

#[derive(Debug, Clone)]
pub struct RunPage {
    pub rows: Vec<RunRow>,
    pub newer: Option<RunCursor>,
    /// Cursor of the next page with older runs. `None` if there are no older runs.
    pub older: Option<RunCursor>,
    /// Number of runs after which the search stopped, without looking at older ones. `None` if it looked at all runs.
    pub stopped_after: Option<usize>,
    pub now: DateTime<Utc>,
}

impl RunRow {
    fn cursor(&self) -> RunCursor {
        RunCursor { created_at: self.created_at, run_id: self.run_id.clone() }
    }

    fn fits(&self, by: SearchBy, text: &str) -> bool {
        let Some(request) = self.request.get() else { return false };
        let found = |within: &str| within.to_lowercase().contains(&text.to_lowercase());
        match by {
            // The SQL statement has compared the id already.
            SearchBy::Id => true,
            SearchBy::PlatformRun => found(&request.platform_run_id),
            SearchBy::Requester => found(&request.requester_principal),
            SearchBy::Scope => found(&request.target_scope.scope_key()),
        }
    }
}

impl Ledger {
    /// Reads a page of runs. Runs that are admitted meanwhile do not move other runs to another page.
    pub async fn run_page(&self, query: &RunQuery) -> Result<RunPage, Error> {
        let now = self.clock().await?;
        let (mut rows, stopped) = self.some_runs(query).await?;
        let more = rows.len() > query.limit;
        let ascending = matches!(query.part, PagePart::NewerThan(_));
        if ascending && !more && stopped.is_none() {
            // All newer runs fit on one page, so the newest page is shown. It may hold older runs too.
            let newest = RunQuery { part: PagePart::Newest, ..query.clone() };
            return Box::pin(self.run_page(&newest)).await;
        }
        rows.truncate(query.limit);
        let far_end = if more { rows.last().map(RunRow::cursor) } else { stopped.clone() };
        let near_end = match &query.part {
            PagePart::Newest => None,
            PagePart::OlderThan(cursor) | PagePart::NewerThan(cursor) => {
                Some(rows.first().map_or_else(|| cursor.clone(), RunRow::cursor))
            }
        };
        let stopped_after = stopped.filter(|_| !more).map(|_| LOOKED_THROUGH);
        let (newer, older) = if ascending { (far_end, near_end) } else { (near_end, far_end) };
        if ascending {
            rows.reverse();
        }
        Ok(RunPage { rows, newer, older, stopped_after, now })
    }

    /// Reads up to `limit` + 1 runs, so that the caller sees whether there are more. If a search stopped early, the
    /// cursor says where.
    async fn some_runs(&self, query: &RunQuery) -> Result<(Vec<RunRow>, Option<RunCursor>), Error> {
        let wanted = query.limit + 1;
        let Some((by, text)) = query.search.as_ref().filter(|(by, _)| *by != SearchBy::Id) else {
            return Ok((self.runs_in(query, &query.part, wanted as i64).await?, None));
        };
        let (mut found, mut part, mut looked) = (Vec::new(), query.part.clone(), 0);
        while looked < LOOKED_THROUGH {
            let batch = self.runs_in(query, &part, BATCH).await?;
            looked += batch.len();
            let last = (batch.len() as i64 == BATCH).then(|| batch.last().map(RunRow::cursor)).flatten();
            found.extend(batch.into_iter().filter(|row| row.fits(*by, text)));
            let Some(last) = last.filter(|_| found.len() < wanted) else {
                found.truncate(wanted);
                return Ok((found, None));
            };
            part = match part {
                PagePart::NewerThan(_) => PagePart::NewerThan(last),
                PagePart::Newest | PagePart::OlderThan(_) => PagePart::OlderThan(last),
            };
        }
        let stopped = match part {
            PagePart::OlderThan(cursor) | PagePart::NewerThan(cursor) => Some(cursor),
            PagePart::Newest => None,
        };
        Ok((found, stopped))
    }

    async fn runs_in(&self, query: &RunQuery, part: &PagePart<RunCursor>, limit: i64) -> Result<Vec<RunRow>, Error> {
        let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(select_run!("WHERE true"));
        if let Some(state) = query.state {
            sql.push(" AND r.state = ").push_bind(state.as_str()).push("::run_state");
        }
        if let Some((SearchBy::Id, text)) = &query.search {
            by_id(&mut sql, text);
        }
        let (cursor, side, order) = match part {
            PagePart::Newest => (None, "", "DESC"),
            PagePart::OlderThan(cursor) => (Some(cursor), "<", "DESC"),
            PagePart::NewerThan(cursor) => (Some(cursor), ">", "ASC"),
        };
        if let Some(RunCursor { created_at, run_id }) = cursor {
            // The first condition lets Postgres use the index. The second orders runs with the same time.
            sql.push(format!(" AND r.created_at {side}= ")).push_bind(*created_at);
            sql.push(format!(" AND (r.created_at, r.run_id) {side} (")).push_bind(*created_at);
            sql.push(", ").push_bind(run_id.clone()).push(")");
        }
        sql.push(format!(" ORDER BY r.created_at {order}, r.run_id {order} LIMIT ")).push_bind(limit);
        // Not prepared, so that Postgres plans for these values. A rare state needs another plan than a common state.
        Ok(sql.build_query_as().persistent(false).fetch_all(&self.pool).await?)
    }

    /// Counts runs by state. Each count stops at [`Self::MOST_COUNTED`] plus one.
    pub async fn counts_by_state(&self) -> Result<BTreeMap<&'static str, i64>, Error> {
        let rows: Vec<StateCount> = sqlx::query_as(
            "SELECT s.state::text,
                    (SELECT count(*) FROM (SELECT FROM runs r WHERE r.state = s.state LIMIT $1) few) AS counted
             FROM unnest(enum_range(NULL::run_state)) AS s (state)",
        )
        .bind(Self::MOST_COUNTED + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| (row.state.as_str(), row.counted)).collect())
    }
}

/// Finds runs by the beginning of a run id or request id. `_` and `%` have no special meaning in `text`.
fn by_id(query: &mut QueryBuilder<Postgres>, text: &str) {
    let digits = text.strip_prefix("tr_").filter(|digits| {
        digits.len() <= 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    query.push(" AND r.run_id IN (");
    if let Some(digits) = digits {
        // Ids of this form sort the same in every collation.
        query.push("SELECT s.run_id FROM runs s WHERE s.run_id BETWEEN ").push_bind(format!("tr_{digits:0<32}"));
        query.push(" AND ").push_bind(format!("tr_{digits:f<32}"));
        query.push(" AND starts_with(s.run_id, ").push_bind(text.to_owned()).push(") UNION ALL ");
    }
    query.push("SELECT p.run_id FROM requests p WHERE p.request_id ~>=~ ").push_bind(text.to_owned());
    // U+007F sorts above every character that a request id may have.
    query.push(" AND p.request_id ~<~ ").push_bind(format!("{text}\u{7f}")).push(")");
}
