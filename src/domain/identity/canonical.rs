//! Canonical JSON: every JSON value has exactly one byte sequence.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::fmt::Write as _;
use std::io;

/// Writes canonical JSON. Keys are sorted by code point. There is no white space. Every non-ASCII character is
/// lower-case `\uXXXX` (a surrogate pair above U+FFFF). Otherwise only `"`, `\` and characters below U+0020 are
/// escaped. Every digest over a JSON value is taken of this text.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Writes canonical JSON without building a JSON tree, because some documents are written by the thousand. The type
/// must declare its fields in alphabetical order, and a test of the type must prove the order.
pub fn canonical_text<T: Serialize>(sorted: &T) -> String {
    let mut out = Vec::with_capacity(1024);
    let mut serializer = Serializer::with_formatter(&mut out, Ascii);
    sorted.serialize(&mut serializer).expect("documents have string keys and finite numbers");
    String::from_utf8(out).expect("everything else was escaped")
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character: char| !character.is_ascii()) {
            let (plain, other) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let character = other.chars().next().expect("one was found there");
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &other[character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes a document as it is stored: sorted keys, two spaces of indentation, a final newline. The document's digest
/// covers exactly these bytes.
pub fn document_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("documents have string keys and finite numbers");
    let mut bytes = serde_json::to_vec_pretty(&sorted(value)).expect("a JSON value serialises");
    bytes.push(b'\n');
    bytes
}

/// Sorts keys explicitly, because any dependency may turn on a feature that changes the order of the JSON map.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write!(out, "{number}").expect("writing to a string"),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            // The order of UTF-8 bytes is the order of code points.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, key);
                out.push(':');
                write_value(out, &map[key]);
            }
            out.push('}');
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    /// Returns whether a byte needs no escape. Most bytes need none.
    fn is_plain(byte: u8) -> bool {
        matches!(byte, b' '..=0x7f) && byte != b'"' && byte != b'\\'
    }
    out.push('"');
    let plain = text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len());
    // The split never cuts a character: the first byte to escape is ASCII, or the first byte of its character.
    let (plain, rest) = text.split_at(plain);
    out.push_str(plain);
    for character in rest.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_only_what_must_be_is_escaped() {
        let value = json!({"b": [1, true, null], "a": "x/\"\\\u{1}\u{7f}é😀\n"});
        assert_eq!(
            canonical_json(&value),
            "{\"a\":\"x/\\\"\\\\\\u0001\u{7f}\\u00e9\\ud83d\\ude00\\n\",\"b\":[1,true,null]}"
        );
    }

    #[test]
    fn documents_are_sorted_and_end_with_a_newline() {
        let bytes = document_bytes(&json!({"b": 1, "a": {"d": 2, "c": 3}}));
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\n  \"a\": {\n    \"c\": 3,\n    \"d\": 2\n  },\n  \"b\": 1\n}\n"
        );
    }

    proptest! {
        #[test]
        fn canonical_text_reads_back_as_the_same_value(text in "\\PC*|[\\x00-\\x1f]*") {
            let value = json!({ "k": text });
            let canonical = canonical_json(&value);
            prop_assert!(canonical.is_ascii());
            prop_assert_eq!(canonical_text(&value), canonical.as_str());
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical).unwrap(), value);
        }
    }
}
