//! Which page of a list, and which runs.

use crate::domain::run::State;
use chrono::{DateTime, Utc};

/// A part of a list that only grows at its new end; `K` is the key that the list is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagePart<K> {
    Newest,
    /// The newest of those before this one.
    OlderThan(K),
    /// The oldest of those after this one.
    NewerThan(K),
}

/// Where a run is in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCursor {
    pub created_at: DateTime<Utc>,
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
pub struct RunQuery {
    /// Only of this state.
    pub state: Option<State>,
    /// Only where this text is found there.
    pub search: Option<(SearchBy, String)>,
    pub part: PagePart<RunCursor>,
    /// Runs at the most.
    pub limit: usize,
}
