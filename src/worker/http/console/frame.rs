//! Renders the frame around every page: head with the style sheet, navigation, footer.

use super::words::kept;
use crate::domain::identity::Digest;
use crate::modelling::REPORT_STYLE;
use crate::version;
use maud::{DOCTYPE, Markup, html};
use std::sync::LazyLock;

/// Seconds after which a live page reloads.
const REFRESH: u32 = 10;

/// The evaluation report's style, followed by the console's own rules.
pub(super) static STYLE: LazyLock<String> = LazyLock::new(|| [REPORT_STYLE, include_str!("console.css")].concat());

/// Address of the style sheet. It changes with the sheet's bytes, so that no browser uses an older cached sheet.
static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let digest = Digest::of(STYLE.as_bytes()).to_string();
    format!("/console.css?{}", &digest[..12])
});

/// The entry of the navigation to which a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Runs,
    DeadLetters,
    Workers,
    Health,
    Nowhere,
}

/// Whether a page reloads by itself.
#[derive(Debug, Clone)]
pub(super) enum Live {
    /// The page reloads every `REFRESH` seconds. Holds the address of the page without reloading.
    On(String),
    /// The page does not reload. Holds the address of the page with reloading.
    Off(String),
    /// The page reloads until the ledger or the store replies again.
    UntilItIsBack,
    /// The page never reloads, because nothing on it changes.
    Never,
}

impl Live {
    /// Returns the switch for a page whose address has no other parameters. `quiet` says that the page does not reload.
    pub(super) fn of(path: &str, quiet: bool) -> Self {
        if quiet { Self::Off(path.to_owned()) } else { Self::On(format!("{path}?live=off")) }
    }
}

pub(super) struct PageFrame<'a> {
    pub(super) title: &'a str,
    pub(super) here: Here,
    pub(super) live: Live,
    /// Whether links on the page carry `live=off`, so that the linked pages do not reload by themselves.
    pub(super) quiet: bool,
    /// Name of the worker that serves the page.
    pub(super) worker: &'a str,
}

const NAVIGATION: [(Here, &str, &str); 4] = [
    (Here::Runs, "/", "Runs"),
    (Here::DeadLetters, "/dead-letters", "Dead letters"),
    (Here::Workers, "/workers", "Workers"),
    (Here::Health, "/health", "Health"),
];

pub(super) fn page(frame: &PageFrame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if matches!(frame.live, Live::On(_) | Live::UntilItIsBack) {
                    meta http-equiv="refresh" content=(REFRESH);
                }
                title { (frame.title) " · Model Factory" }
                link rel="stylesheet" href=(*STYLE_ADDRESS);
                link rel="icon" type="image/svg+xml" href="/console.svg";
            }
            body {
                a.skip href="#content" { "Skip to content" }
                div.bar {
                    a.brand href=(format!("/{}", kept(frame.quiet))) { "Model Factory" }
                    nav aria-label="Pages" {
                        @for (entry, href, name) in NAVIGATION {
                            a href=(format!("{href}{}", kept(frame.quiet))) aria-current=[(frame.here == entry).then_some("page")] {
                                (name)
                            }
                        }
                    }
                    (switch(&frame.live))
                }
                main #content tabindex="-1" { (content) }
                footer {
                    @if !frame.worker.is_empty() { "Answered by " code { (frame.worker) } ", " }
                    "model-factory " (version::VERSION) ". Reads only. Times are UTC."
                }
            }
        }
    }
}

fn switch(live: &Live) -> Markup {
    html! {
        @match live {
            Live::On(href) => a.live.on href=(href) title="Pause" { "Live, every " (REFRESH) " s " span.action { "Pause" } },
            Live::Off(href) => a.live href=(href) title="Go on" { "Paused " span.action { "Go on" } },
            Live::UntilItIsBack => span.live { "Asking again every " (REFRESH) " s" },
            Live::Never => {},
        }
    }
}

/// Renders links to the newer and the older entries of a list. `None` renders no link in that direction.
pub(super) fn pager(newer: Option<&str>, older: Option<&str>) -> Markup {
    html! {
        @if newer.is_some() || older.is_some() {
            nav.pager aria-label="Parts of the list" {
                @if let Some(href) = newer { a rel="prev" href=(href) { "← Newer" } } @else { span {} }
                @if let Some(href) = older { a rel="next" href=(href) { "Older →" } }
            }
        }
    }
}
