//! Writes values as people read them: states, times, counts, long texts, links.

use crate::domain::contract::EventProgress;
use crate::domain::run::{FailureCode, State};
use crate::modelling::thousands;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

/// Upper bound on the characters of a text that a page shows.
const LONGEST: usize = 2_000;

/// Renders a state as a word. Its colour carries no further meaning.
pub(super) fn badge(state: State) -> Markup {
    let class = match state {
        State::Queued => "queued",
        State::Running => "running",
        State::EvalReady => "ready",
        State::Pass => "passed",
        State::Fail => "failed",
        State::PublishPending => "pending",
        State::Published => "published",
    };
    html! { span.badge.(class) { (state) } }
}

/// Writes a duration in its two largest units.
pub(super) fn length(of: TimeDelta) -> String {
    let millis = of.num_milliseconds().max(0);
    let seconds = millis / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if seconds < 1 => format!("{millis}\u{a0}ms"),
        () if millis < 10_000 => format!("{}.{}\u{a0}s", seconds, millis % 1_000 / 100),
        () if minutes < 1 => format!("{seconds}\u{a0}s"),
        () if hours < 1 => format!("{minutes}\u{a0}min {}\u{a0}s", seconds % 60),
        () if days < 1 => format!("{hours}\u{a0}h {}\u{a0}min", minutes % 60),
        () if days < 10 => format!("{days}\u{a0}d {}\u{a0}h", hours % 24),
        () => format!("{days}\u{a0}d"),
    }
}

/// Renders how long ago `at` was, in the largest unit. The exact time is a tooltip.
pub(super) fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> Markup {
    elapsed(now, at, " ago")
}

/// Renders how long something has lasted since `at`, in the largest unit.
pub(super) fn since(now: DateTime<Utc>, at: DateTime<Utc>) -> Markup {
    elapsed(now, at, "")
}

fn elapsed(now: DateTime<Utc>, at: DateTime<Utc>, ending: &str) -> Markup {
    let seconds = (now - at).num_seconds().max(0);
    let text = match seconds {
        0..60 => format!("{seconds}\u{a0}s"),
        60..3_600 => format!("{}\u{a0}min", seconds / 60),
        3_600..86_400 => format!("{}\u{a0}h", seconds / 3_600),
        _ => format!("{}\u{a0}d", seconds / 86_400),
    };
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    html! { time datetime=(exact) title=(exact) { (text) (ending) } }
}

/// Renders a time in UTC to the second. The tooltip shows milliseconds.
pub(super) fn instant(at: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    html! { time datetime=(exact) title=(exact) { (at.format("%Y-%m-%d\u{a0}%H:%M:%S")) } }
}

/// Returns the text's beginning, and how many bytes were left out.
pub(super) fn capped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} more bytes)", &text[..end], text.len() - end),
    }
}

/// Renders our own sentences. Names in backticks become code.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Renders what a failure code means and who does what next. Empty if this release does not know the code.
pub(super) fn guidance(code: &str) -> Markup {
    let Ok(code) = code.parse::<FailureCode>() else { return html! {} };
    let text = code.guidance();
    html! {
        dl.guidance {
            dt { "What happened" } dd { (prose(text.happened)) }
            dt { "Requester" } dd { (prose(text.requester)) }
            dt { "Operator" } dd { (prose(text.operator)) }
        }
    }
}

pub(super) fn progress(of: &EventProgress) -> Markup {
    html! {
        span.progress title=(capped(&of.message)) {
            progress max="100" value=(of.percent) aria-label="Progress" {}
            " " (capped(&of.step)) " " (of.percent) "\u{202f}%"
        }
    }
}

/// Writes a count with commas between thousands. A count over `most` is written as `most` with a plus.
pub(super) fn counted(count: i64, most: i64) -> String {
    let plus = if count > most { "+" } else { "" };
    format!("{}{plus}", thousands(count.min(most).unsigned_abs()))
}

/// Percent-encodes a text as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(super) fn run_href(run_id: &str, quiet: bool) -> String {
    format!("/runs/{}{}", segment(run_id), kept(quiet))
}

/// Returns the query of a link. If this page does not reload, `live=off` keeps the linked page from reloading too.
pub(super) fn kept(quiet: bool) -> &'static str {
    if quiet { "?live=off" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_and_counts_their_thousands_apart() {
        let shown = [0, 940, 9_940, 61_000, 7_380_000, 90_000_000, 2_000_000_000];
        let shown = shown.map(|millis| length(TimeDelta::milliseconds(millis)).replace('\u{a0}', " "));
        assert_eq!(shown, ["0 ms", "940 ms", "9.9 s", "1 min 1 s", "2 h 3 min", "1 d 1 h", "23 d"]);
        assert_eq!([0, 9_999, 10_000, 10_001].map(|n| counted(n, 10_000)), ["0", "9,999", "10,000", "10,000+"]);
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_a_segment_has_no_slash() {
        let long = "ü".repeat(LONGEST + 3);
        assert!(capped(&long).ends_with("ü… (6 more bytes)"));
        assert_eq!(capped("short"), "short");
        assert_eq!(segment("a/b ü<"), "a%2Fb%20%C3%BC%3C");
    }

    #[test]
    fn a_name_in_backticks_is_code_and_nothing_else_is_markup() {
        assert_eq!(prose("Use `a<b`, <i>.").into_string(), "Use <code>a&lt;b</code>, &lt;i&gt;.");
    }
}
