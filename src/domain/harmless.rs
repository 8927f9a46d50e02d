//! Escapes and cuts text from outside before it becomes a reason, a rule, a header or a row.
//!
//! Guarantees: the result has no NUL, which Postgres refuses. It has no character that controls a terminal or the
//! direction of writing. The caller bounds its length in bytes. The cost grows with the result, not with the text.

/// Escapes every character that is not plain text, also line breaks. Cuts the result to `most_bytes`.
pub fn line(text: &str, most_bytes: usize) -> String {
    escaped(text, most_bytes, false)
}

/// Escapes and cuts like `line`, but keeps line breaks and tabs.
pub fn lines(text: &str, most_bytes: usize) -> String {
    escaped(text, most_bytes, true)
}

fn escaped(text: &str, most_bytes: usize, keep_breaks: bool) -> String {
    const CUT: char = '…';
    let mut shown = String::with_capacity(text.len().min(most_bytes));
    // Length to cut to if the rest does not fit: the last boundary that leaves space for the mark.
    let mut room_for_cut = 0;
    for c in text.chars() {
        if is_obeyed(c) && !(keep_breaks && matches!(c, '\n' | '\t')) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        if shown.len() > most_bytes {
            shown.truncate(room_for_cut);
            shown.push(CUT);
            return shown;
        }
        if shown.len() + CUT.len_utf8() <= most_bytes {
            room_for_cut = shown.len();
        }
    }
    shown
}

/// Returns whether the character does more than appear as itself. These are control characters, marks of direction and
/// line separators.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_obeyed_is_escaped_and_the_rest_stays() {
        let hostile = "a\u{0}b\u{1b}[31mc\u{9b}d\u{202e}e\nü \"q\" \\";
        assert_eq!(line(hostile, 200), r#"a\u{0}b\u{1b}[31mc\u{9b}d\u{202e}e\nü "q" \"#);
        assert_eq!(lines("one\n\ttwo\r", 200), "one\n\ttwo\\r");
    }

    #[test]
    fn a_cut_text_ends_with_a_mark_within_the_bound() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abc…");
        assert_eq!(line(&"\u{0}".repeat(10), 12), "\\u{0}…");
    }

    proptest! {
        #[test]
        fn any_text_becomes_bounded_and_obeyed_by_nobody(text in any::<String>(), most in 8_usize..64) {
            let shown = line(&text, most);
            prop_assert!(shown.len() <= most);
            prop_assert!(!shown.chars().any(is_obeyed));
            prop_assert!(!lines(&text, most).contains('\0'));
        }
    }
}
