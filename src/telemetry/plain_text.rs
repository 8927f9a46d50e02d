//! Makes text from outside safe for logs and terminals.
//!
//! Guarantees: what `plain` and `plain_json` return has no line break, control character, escape sequence or character
//! that reverses the direction of writing. A text that `capped` cuts ends with the length, in bytes, of the uncut text.

use std::fmt::{self, Write};

/// The most bytes of a text that a log line shows.
pub(super) const CAP: usize = 2_048;

/// Cuts a text at [`CAP`] bytes and appends its original length in bytes.
pub(super) fn capped(mut text: String) -> String {
    if text.len() > CAP {
        let bytes = text.len();
        text.truncate(text.floor_char_boundary(CAP));
        // Writing into a string cannot fail.
        let _ = write!(text, "… ({bytes} bytes)");
    }
    text
}

/// Returns true if a terminal shows the character itself and does not take it as a command.
fn is_plain(c: char) -> bool {
    // `escape_debug` escapes characters that have no visible shape: format characters, separators, private use, lone
    // accents.
    matches!(c, ' '..='~') || (!c.is_ascii() && c.escape_debug().len() == 1)
}

/// Escapes text for people. A character that is not plain is written as an escape such as `\n` or `\u{202e}`.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown
}

/// Escapes JSON for machines. A character that is not plain becomes an escape such as `\u202e`. A JSON parser reads the
/// character, and a terminal only gets the escape.
pub fn plain_json(json: &str, out: &mut impl Write) -> fmt::Result {
    for c in json.chars() {
        if is_plain(c) {
            out.write_char(c)?;
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\nb\r\u{1b}[31mred\u{7f}\u{85}\u{202e}drow\u{2028}\u{e0001} ü \"q\" \\";

    #[test]
    fn hostile_text_shows_what_it_holds() {
        assert_eq!(plain(HOSTILE), r#"a\nb\r\u{1b}[31mred\u{7f}\u{85}\u{202e}drow\u{2028}\u{e0001} ü "q" \"#);
    }

    #[test]
    fn json_gives_the_text_back_and_holds_nothing_that_a_terminal_obeys() {
        let mut line = String::new();
        plain_json(&serde_json::to_string(HOSTILE).unwrap(), &mut line).unwrap();
        assert!(line.chars().all(is_plain), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), HOSTILE);
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let long = "ü".repeat(6_000);
        let cut = capped(long);
        assert!(cut.len() < CAP + 30 && cut.ends_with("ü… (12000 bytes)"), "{}", &cut[cut.len() - 40..]);
        assert_eq!(capped("short".to_owned()), "short");
    }
}
