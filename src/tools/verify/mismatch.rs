//! Describes where a file differs from what it must be.

use crate::domain::contract::parse_strict;
use crate::domain::harmless::line;
use serde_json::Value;

/// The first place at which a file differs from what it must be.
pub(super) struct Mismatch {
    /// JSON pointer to the first field that differs. Empty if the file is no JSON, or holds the same values in another
    /// form.
    pub(super) pointer: String,
    /// What is there and what must be, for people.
    pub(super) text: String,
}

/// Files of more bytes are only said to differ, without a description.
const MAX_DESCRIBED: usize = 4 << 20;
const MAX_DEPTH: usize = 64;

/// Compares a file with what it must be, byte by byte. `None` if they are equal.
pub(super) fn mismatch(found: &[u8], expected: &[u8]) -> Option<Mismatch> {
    if found == expected {
        return None;
    }
    if found.len().max(expected.len()) > MAX_DESCRIBED {
        let text = format!("it has {} bytes, what it must be has {}, and they differ", found.len(), expected.len());
        return Some(Mismatch { pointer: String::new(), text });
    }
    let Ok(expected_value) = parse_strict(expected, MAX_DEPTH) else { return Some(in_lines(found, expected)) };
    let whole = |text: String| Mismatch { pointer: String::new(), text };
    Some(match parse_strict(found, MAX_DEPTH) {
        Err(error) => whole(format!("it is no strict JSON: {error}")),
        Ok(found) => match in_values(&found, &expected_value, String::new()) {
            Some((pointer, text)) => Mismatch { text: format!("at {}: {text}", shown(&pointer)), pointer },
            None => whole("it holds the right values in another form, such as other spaces or order".to_owned()),
        },
    })
}

fn in_values(found: &Value, expected: &Value, at: String) -> Option<(String, String)> {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let mut names: Vec<&String> = found.keys().chain(expected.keys()).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().find_map(|name| {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (found.get(name), expected.get(name)) {
                    (Some(found), Some(expected)) => in_values(found, expected, at),
                    (Some(_), None) => Some((at, "it must not be there".to_owned())),
                    (None, _) => Some((at, "it is missing".to_owned())),
                }
            })
        }
        (Value::Array(found), Value::Array(expected)) => {
            let pairs = found.iter().zip(expected).enumerate();
            let mut in_pairs =
                pairs.map(|(index, (found, expected))| in_values(found, expected, format!("{at}/{index}")));
            in_pairs.find_map(|mismatch| mismatch).or_else(|| {
                let (found, expected) = (found.len(), expected.len());
                (found != expected).then(|| (at, format!("it has {found} entries and must have {expected}")))
            })
        }
        (found, expected) => (found != expected)
            .then(|| (at, format!("it is {} and must be {}", shown(&found.to_string()), shown(&expected.to_string())))),
    }
}

fn in_lines(found: &[u8], expected: &[u8]) -> Mismatch {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).split('\n').map(str::to_owned).collect::<Vec<_>>();
    let (found, expected) = (lines(found), lines(expected));
    let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
    let at = |lines: &[String]| lines.get(same).map_or_else(|| "the end".to_owned(), |line| shown(line));
    let text = format!("in line {}: it is {} and must be {}", same + 1, at(&found), at(&expected));
    Mismatch { pointer: String::new(), text }
}

/// Escapes and cuts text of the bundle.
fn shown(text: &str) -> String {
    line(text, 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(found: &str, expected: &str) -> String {
        mismatch(found.as_bytes(), expected.as_bytes()).map(|mismatch| mismatch.text).unwrap_or_default()
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(text("a\n", "a\n"), "");
        assert_eq!(text("{\"a\": [1, 2]}", "{\"a\": [1, 3]}"), "at /a/1: it is 2 and must be 3");
        assert_eq!(text("{\"a\": [1]}", "{\"a\": [1, 3]}"), "at /a: it has 1 entries and must have 2");
        assert_eq!(text("{\"a/b\": 1}", "{}"), "at /a~1b: it must not be there");
        assert_eq!(text("{}", "{\"b\": 1}"), "at /b: it is missing");
        assert_eq!(
            text("{\"a\":1}", "{\"a\": 1}"),
            "it holds the right values in another form, such as other spaces or order"
        );
        assert!(text("{\"a\":2,\"a\":1}", "{\"a\": 1}").contains("occurs twice"));
        assert_eq!(text("one\ntwo\n", "one\n2\n"), "in line 2: it is two and must be 2");
        assert_eq!(text("one", "one\ntwo"), "in line 2: it is the end and must be two");
    }
}
