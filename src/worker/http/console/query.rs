//! Reads the query of an address. Unknown and malformed parameters are refused, never ignored.

use super::words::kept;
use crate::adapters::ledger::{PagePart, RunCursor, RunQuery, SearchBy};
use crate::domain::run::State;
use chrono::DateTime;
use std::collections::BTreeMap;
use url::form_urlencoded::{Serializer, parse};

/// Upper bound on the runs on a page.
pub(super) const RUNS: usize = 50;
/// Upper bound on the characters of a search.
const LONGEST: usize = 200;

/// What is wrong with an address, as a sentence for the person who opened it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadQuery(pub(super) String);

/// Reads the parameters. The key is the parameter's name. Refuses unknown and repeated parameters. An empty parameter
/// counts as absent.
fn parameters(raw: &str, known: &[&str]) -> Result<BTreeMap<String, String>, BadQuery> {
    let mut found = BTreeMap::new();
    for (name, value) in parse(raw.as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(BadQuery(format!("There is no parameter {name:?} here; there are: {}.", known.join(", "))));
        }
        let value = value.trim().to_owned();
        if !value.is_empty() && found.insert(name.clone().into_owned(), value).is_some() {
            return Err(BadQuery(format!("The parameter {name:?} stands there twice.")));
        }
    }
    Ok(found)
}

fn quiet(parameters: &BTreeMap<String, String>) -> Result<bool, BadQuery> {
    match parameters.get("live").map(String::as_str) {
        None => Ok(false),
        Some("off") => Ok(true),
        Some(other) => Err(BadQuery(format!("live is \"off\" or not given, not {other:?}."))),
    }
}

/// Reads which part of a list `older` or `newer` asks for. Without them, the newest part. `read` parses the key of an
/// entry.
fn part<K>(parameters: &BTreeMap<String, String>, read: impl Fn(&str) -> Option<K>) -> Result<PagePart<K>, BadQuery> {
    let no_key = |name: &str, text: &str| {
        BadQuery(format!("{name} is no place in this list: {text:?}. Follow the links of a page."))
    };
    let key = |name| parameters.get(name).map(|text| read(text).ok_or_else(|| no_key(name, text))).transpose();
    match (key("older")?, key("newer")?) {
        (None, None) => Ok(PagePart::Newest),
        (Some(key), None) => Ok(PagePart::OlderThan(key)),
        (None, Some(key)) => Ok(PagePart::NewerThan(key)),
        (Some(_), Some(_)) => Err(BadQuery("older and newer exclude each other.".to_owned())),
    }
}

/// Returns whether the query says `live=off`. Refuses every other parameter.
pub(super) fn read_quiet(raw: &str) -> Result<bool, BadQuery> {
    quiet(&parameters(raw, &["live"])?)
}

pub(super) fn read_dead_letters(raw: &str) -> Result<(PagePart<i64>, bool), BadQuery> {
    let parameters = parameters(raw, &["older", "newer", "live"])?;
    Ok((part(&parameters, |text| text.parse().ok())?, quiet(&parameters)?))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunsQuery {
    pub(super) state: Option<State>,
    pub(super) by: SearchBy,
    pub(super) text: Option<String>,
    pub(super) part: PagePart<RunCursor>,
    pub(super) quiet: bool,
}

/// The fields that can be searched, each with its name in the address and its label on the page.
pub(super) const SEARCHES: [(SearchBy, &str, &str); 4] = [
    (SearchBy::Id, "id", "run or request id"),
    (SearchBy::PlatformRun, "platform_run", "platform run"),
    (SearchBy::Requester, "requester", "requester"),
    (SearchBy::Scope, "scope", "scope"),
];

impl RunsQuery {
    pub(super) fn read(raw: &str) -> Result<Self, BadQuery> {
        let parameters = parameters(raw, &["state", "by", "q", "older", "newer", "live"])?;
        let state = match parameters.get("state") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let all: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
                BadQuery(format!("{text:?} is no state; there are: {}.", all.join(", ")))
            })?),
        };
        let by = match parameters.get("by") {
            None => SearchBy::Id,
            Some(text) => SEARCHES.iter().find(|(_, name, _)| name == text).map(|(by, ..)| *by).ok_or_else(|| {
                let all = SEARCHES.map(|(_, name, _)| name).join(", ");
                BadQuery(format!("Nothing can be searched by {text:?}; by is one of: {all}."))
            })?,
        };
        let text = parameters.get("q").cloned();
        if text.as_ref().is_some_and(|text| text.chars().count() > LONGEST || text.contains('\0')) {
            return Err(BadQuery(format!("A search is at most {LONGEST} characters long, none of them NUL.")));
        }
        Ok(Self { state, by, text, part: part(&parameters, cursor)?, quiet: quiet(&parameters)? })
    }

    pub(super) fn to_ledger(&self) -> RunQuery {
        RunQuery {
            state: self.state,
            search: self.text.clone().map(|text| (self.by, text)),
            part: self.part.clone(),
            limit: RUNS,
        }
    }

    /// Returns the address that is read as this query.
    pub(super) fn href(&self) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        if let Some(text) = &self.text {
            let by = SEARCHES.iter().find(|(by, ..)| *by == self.by).map_or("id", |(_, name, _)| name);
            query.append_pair("by", by);
            query.append_pair("q", text);
        }
        match &self.part {
            PagePart::Newest => {}
            PagePart::OlderThan(cursor) => {
                query.append_pair("older", &cursor_text(cursor));
            }
            PagePart::NewerThan(cursor) => {
                query.append_pair("newer", &cursor_text(cursor));
            }
        }
        if self.quiet {
            query.append_pair("live", "off");
        }
        match query.finish().as_str() {
            "" => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }
}

pub(super) fn dead_letters_href(part: &PagePart<i64>, quiet: bool) -> String {
    let and = if quiet { "&live=off" } else { "" };
    match part {
        PagePart::Newest => format!("/dead-letters{}", kept(quiet)),
        PagePart::OlderThan(id) => format!("/dead-letters?older={id}{and}"),
        PagePart::NewerThan(id) => format!("/dead-letters?newer={id}{and}"),
    }
}

fn cursor(text: &str) -> Option<RunCursor> {
    let (micros, run_id) = text.split_once('.')?;
    // Refuses times before 1970, because no run is older, and Postgres cannot store times long before.
    let created_at = DateTime::from_timestamp_micros(i64::try_from(micros.parse::<u64>().ok()?).ok()?)?;
    let is_clean = run_id.chars().count() == 35 && !run_id.contains('\0');
    is_clean.then(|| RunCursor { created_at, run_id: run_id.to_owned() })
}

fn cursor_text(cursor: &RunCursor) -> String {
    format!("{}.{}", cursor.created_at.timestamp_micros(), cursor.run_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_page_reads_back() {
        let run_id = "tr_16a2ad9c3ad29e2e989ece1cb3c61936".to_owned();
        let cursor = RunCursor { created_at: DateTime::from_timestamp_micros(1_764_100_000_123_456).unwrap(), run_id };
        for state in [None, Some(State::EvalReady)] {
            for text in [None, Some("100% of a&b=<c>_+".to_owned())] {
                for part in [PagePart::Newest, PagePart::OlderThan(cursor.clone()), PagePart::NewerThan(cursor.clone())]
                {
                    let by = if text.is_some() { SearchBy::Scope } else { SearchBy::Id };
                    let query = RunsQuery { state, by, text: text.clone(), part, quiet: state.is_some() };
                    let href = query.href();
                    assert!(!href.contains(['<', ' ', '"']), "{href}");
                    assert_eq!(RunsQuery::read(href.split_once('?').map_or("", |(_, raw)| raw)), Ok(query));
                }
            }
        }
    }

    #[test]
    fn what_an_address_cannot_mean_is_refused() {
        let long = format!("q={}", "a".repeat(LONGEST + 1));
        for bad in [
            "state=LOST",
            "state=fail",
            "by=text",
            "sort=age",
            "live=on",
            "older=1",
            "older=x.tr_16a2ad9c3ad29e2e989ece1cb3c61936",
            "older=-1.tr_16a2ad9c3ad29e2e989ece1cb3c61936",
            "older=9223372036854775807.tr_16a2ad9c3ad29e2e989ece1cb3c61936",
            "older=1.tr_16a2ad9c3ad29e2e989ece1cb3c61936&newer=1.tr_16a2ad9c3ad29e2e989ece1cb3c61936",
            "q=a&q=b",
            "q=a%00b",
            &long,
        ] {
            assert!(RunsQuery::read(bad).is_err(), "{bad}");
        }
        assert!(read_dead_letters("older=x").is_err() && read_quiet("older=1").is_err());
        // The query that a form sends if nothing was filled in.
        assert_eq!(RunsQuery::read("state=&q=&by=id").unwrap().text, None);
    }
}
