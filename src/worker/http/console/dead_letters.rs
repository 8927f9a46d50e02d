//! `/dead-letters`: the list of rejected records, and one page per record that says what to do about it.

use super::frame::{Here, Live, PageFrame, page, pager};
use super::query::dead_letters_href;
use super::words::{ago, capped, guidance, instant, kept, segment, since};
use crate::adapters::ledger::{Coordinates, DeadLetterPage, DeadLetterRecord, DeadLetterText, PagePart};
use crate::modelling::{TableHeading, html_table};
use maud::{Markup, html};

/// Upper bound on the bytes of a record that its page shows.
pub(super) const SHOWN_BYTES: i32 = 16 * 1024;

fn href(source: &Coordinates, quiet: bool) -> String {
    let Coordinates { topic, partition, offset } = source;
    format!("/dead-letters/{}/{partition}/{offset}{}", segment(topic), kept(quiet))
}

fn header<'a>(letter: &'a DeadLetterRecord, name: &str) -> &'a str {
    letter.headers.get(name).map(String::as_str).unwrap_or_default()
}

pub(super) fn dead_letters(found: &DeadLetterPage, part: &PagePart<i64>, quiet: bool, worker: &str) -> Markup {
    const HEADINGS: [TableHeading<'static>; 6] =
        [("Record", ""), ("Code", ""), ("At", ""), ("Why", ""), ("Rejected", "right"), ("On its topic", "after")];
    let switched = dead_letters_href(part, !quiet);
    let live = if quiet { Live::Off(switched) } else { Live::On(switched) };
    let frame = PageFrame { title: "Dead letters", here: Here::DeadLetters, live, quiet, worker };
    let newer = found.newer.map(|id| dead_letters_href(&PagePart::NewerThan(id), quiet));
    let older = found.older.map(|id| dead_letters_href(&PagePart::OlderThan(id), quiet));
    let content = html! {
        h1 { "Dead letters" }
        @if found.rows.is_empty() {
            div.empty { p { "Nothing was rejected." } }
        } @else {
            (html_table("list letters", &HEADINGS, &html! {
                @for row in &found.rows {
                    @let letter = &row.letter;
                    tr {
                        th.name scope="row" { a href=(href(&letter.source, quiet)) { (letter.source) } }
                        td { code { (header(letter, "mf_code")) } }
                        td { code { (capped(header(letter, "mf_pointer"))) } }
                        td.text { (capped(header(letter, "mf_message"))) }
                        td.right data-label="Rejected" { (ago(found.now, letter.created_at)) }
                        td.after data-label="On its topic" {
                            @if letter.sent_at.is_some() { "sent" }
                            @else if letter.set_aside_at.is_some() { span.waits { "set aside" } }
                            @else { span.waits { "waits" } }
                        }
                    }
                }
            }))
        }
        (pager(newer.as_deref(), older.as_deref()))
    };
    page(&frame, &content)
}

pub(super) fn dead_letter(found: &DeadLetterText, quiet: bool, worker: &str) -> Markup {
    let letter = &found.letter;
    let Coordinates { topic, partition, offset } = &letter.source;
    let title = format!("Dead letter {}", letter.source);
    let frame = PageFrame { title: &title, here: Here::DeadLetters, live: Live::Never, quiet, worker };
    let code = header(letter, "mf_code");
    let rest = letter.bytes - found.beginning.len() as i64;
    let content = html! {
        header.headline {
            p.eyebrow { "Dead letter" }
            h1 { code { (letter.source) } }
            p.standing { "rejected " (ago(found.now, letter.created_at)) ", " (letter.bytes) " bytes" }
            div.reason {
                p {
                    code.code { (code) } " " (capped(header(letter, "mf_message")))
                    @let pointer = header(letter, "mf_pointer");
                    @if !pointer.is_empty() { " At " code { (capped(pointer)) } "." }
                }
                (guidance(code))
            }
        }
        @if letter.is_cut {
            section aria-label="Replay" {
                h2 { "Read it from its topic" }
                p { "The ledger keeps only the beginning of this record: it cannot be sent again from here." }
                pre { "kcat -b BROKERS -C -t " (topic) " -p " (partition) " -o " (offset) " -c 1" }
            }
        } @else {
            section aria-label="Replay" {
                h2 { "Send it again" }
                p { "Once what stood in its way is gone; it is then an ordinary request, and judged anew." }
                pre { "model-factory dead-letters replay " (letter.source) " --reason 'why it may pass now'" }
            }
        }
        section aria-label="Record" {
            h2 { "The record as it came" }
            pre.raw { (String::from_utf8_lossy(&found.beginning)) }
            @if rest > 0 && !letter.is_cut {
                p.note { "And " (rest) " more bytes: " code { "model-factory dead-letters show --raw " (letter.source) } }
            } @else if rest > 0 {
                p.note { "And " (rest) " more bytes." }
            }
        }
        section aria-label="Headers" {
            h2 { "Headers of the dead letter" }
            (html_table("stack", &[], &html! {
                @for (name, value) in &letter.headers {
                    tr { th scope="row" { code { (capped(name)) } } td { (capped(value)) } }
                }
                tr {
                    th scope="row" { "On its topic" }
                    td {
                        @match letter.sent_at {
                            Some(at) => { "sent " (instant(at)) },
                            None => span.waits { "waits for " (since(found.now, letter.created_at)) },
                        }
                        @if let Some(why) = &letter.refusal {
                            p.note {
                                "The broker refused it " (letter.tries) " times: " (capped(why)) "."
                                @if letter.set_aside_at.is_some() {
                                    " It is set aside: " code { "model-factory dead-letters give-back " (letter.source) }
                                }
                            }
                        }
                    }
                }
            }))
        }
    };
    page(&frame, &content)
}
