//! Writes the page about the check of a bundle, for people who decide and do not program.
//!
//! Guarantees: the same values give the same bytes. The page has no script, loads nothing, and escapes every value.
//! Never: checks anything. The page shows what was checked.

use super::gate::gate_table;
use super::html_table::html_table;
use super::number::instant;
use super::{section, whole_page};
use crate::domain::contract::GateReceipt;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageVerdict {
    Good,
    Bad,
    /// Nothing is wrong, and something is not known.
    Open,
}

/// What was found about a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementFinding {
    /// It is true. The text says by what.
    Holds(String),
    /// It is false. The text says why.
    Broken(String),
    /// Nobody looked. The text says why.
    Unknown(String),
}

#[derive(Debug)]
pub struct VerificationPage<'a> {
    pub verdict: PageVerdict,
    /// The verdict in one or two words, such as `VERIFIED`.
    pub word: &'a str,
    /// The rest of the verdict's sentence.
    pub sentence: &'a str,
    /// What the bundle is, for example its scope.
    pub title: &'a str,
    pub checked_at: DateTime<Utc>,
    /// Facts with their names, in order: who made it, who asked for it, when it was checked.
    pub facts: &'a [(&'static str, String)],
    pub statements: &'a [(&'static str, StatementFinding)],
    /// `None` if the bundle is broken.
    pub receipt: Option<&'a GateReceipt>,
    /// What the check cannot show, a sentence each.
    pub limits: &'a [&'static str],
}

pub fn verification_page(page: &VerificationPage<'_>) -> String {
    let class = match page.verdict {
        PageVerdict::Good => "verdict pass",
        PageVerdict::Bad => "verdict fail",
        PageVerdict::Open => "verdict open",
    };
    let body = html! {
        header {
            p.eyebrow { "Check of a model bundle · " (instant(page.checked_at)) }
            h1 { (page.title) }
            p class=(class) { strong { (page.word) } " " (page.sentence) }
            p.lead { (meaning(page.verdict)) }
        }
        main {
            (section("In short", &facts(page.facts)))
            (section("What was checked", &statements(page.statements)))
            @if let Some(receipt) = page.receipt { (section("What the model had to reach", &gate_table(receipt))) }
            (section("What this check cannot show", &html! { ul { @for limit in page.limits { li { (limit) } } } }))
        }
        footer {
            "Written by " code { "model-factory verify" } ". The page is not signed: whoever doubts it takes folder "
            "and key, and runs the command again."
        }
    };
    whole_page(&format!("{}: {}", page.word, page.title), &body)
}

fn meaning(verdict: PageVerdict) -> &'static str {
    match verdict {
        PageVerdict::Good => {
            "The files of this bundle agree with each other, and whoever holds the key below made exactly these files."
        }
        PageVerdict::Bad => {
            "Do not use this bundle. Send this page to its publisher, by an address that did not come with the bundle."
        }
        PageVerdict::Open => "The files of this bundle agree with each other. This check does not show who made them.",
    }
}

fn facts(facts: &[(&'static str, String)]) -> Markup {
    let rows = html! { @for (name, value) in facts { tr { th scope="row" { (name) } td { (value) } } } };
    html_table("stack facts", &[], &rows)
}

fn statements(statements: &[(&'static str, StatementFinding)]) -> Markup {
    let rows = html! {
        @for (statement, finding) in statements {
            tr {
                td { (mark(finding)) }
                td {
                    (sentence(statement))
                    @match finding {
                        StatementFinding::Holds(by) => div.soft { (sentence(by)) },
                        StatementFinding::Broken(why) => div.why { (sentence(why)) },
                        StatementFinding::Unknown(why) => div.soft { (sentence(why)) },
                    }
                }
            }
        }
    };
    html_table("stack statements", &[], &rows)
}

fn mark(finding: &StatementFinding) -> Markup {
    match finding {
        StatementFinding::Holds(_) => html! { span.holds { "✓ true" } },
        StatementFinding::Broken(_) => html! { span.broken { "✗ false" } },
        StatementFinding::Unknown(_) => html! { span.unknown { "– not known" } },
    }
}

/// Writes a clause as a sentence: with a capital letter, unless the first word is a name, and a full stop.
fn sentence(clause: &str) -> String {
    let first = clause.split(' ').next().unwrap_or_default();
    let is_name = first.contains(['.', '_', '/']) || first.chars().skip(1).any(char::is_uppercase);
    let mut chars = clause.chars();
    match chars.next() {
        Some(begin) if !is_name => format!("{}{}.", begin.to_uppercase(), chars.as_str()),
        Some(_) | None => format!("{clause}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(verdict: PageVerdict, text: &str, finding: StatementFinding) -> String {
        verification_page(&VerificationPage {
            verdict,
            word: "VERIFIED",
            sentence: text,
            title: text,
            checked_at: DateTime::UNIX_EPOCH,
            facts: &[("Who asked", text.to_owned())],
            statements: &[("the folder holds the files", finding)],
            receipt: None,
            limits: &["It was signed at a known time."],
        })
    }

    #[test]
    fn the_page_loads_nothing_runs_nothing_and_shows_text_of_others_as_text() {
        let hostile = "\"><script>alert(1)</script>&<b>";
        for finding in [StatementFinding::Holds, StatementFinding::Broken, StatementFinding::Unknown]
            .map(|of| of(hostile.to_owned()))
        {
            let page = page(PageVerdict::Good, hostile, finding);
            for outside in ["http:", "https:", "<script", "<link", "<img", " src=", "@import", "url(", "<b>"] {
                assert!(!page.contains(outside), "{outside}");
            }
            assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;b&gt;").count(), 5);
        }
    }

    #[test]
    fn the_verdict_comes_first_and_each_finding_has_its_mark() {
        let marks = [
            (PageVerdict::Good, StatementFinding::Holds("x".to_owned()), "verdict pass", "✓ true"),
            (PageVerdict::Bad, StatementFinding::Broken("x".to_owned()), "verdict fail", "✗ false"),
            (PageVerdict::Open, StatementFinding::Unknown("x".to_owned()), "verdict open", "– not known"),
        ];
        for (verdict, finding, class, mark) in marks {
            let page = page(verdict, "x", finding);
            let (verdict, checked) = (page.find(class).unwrap(), page.find("<h2>What was checked</h2>").unwrap());
            assert!(verdict < checked && page[checked..].contains(mark));
            assert!(page.contains("The folder holds the files."));
        }
        assert_eq!(sentence("bundle.json follows"), "bundle.json follows.");
        assert_eq!(sentence("MLmodel follows"), "MLmodel follows.");
    }
}
