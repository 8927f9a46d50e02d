//! Strict JSON, so that all readers of the same bytes see the same request.
//!
//! `serde_json` silently keeps the last of two equal keys. This parser refuses a repeated key at any depth. It compares
//! keys after unescaping.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StrictJsonError {
    /// What is wrong, with line and column if the parser knows them.
    pub message: String,
    /// Line and column, from 1. `None` if the text as a whole is wrong.
    pub at: Option<(u64, u64)>,
}

impl StrictJsonError {
    fn whole(message: String) -> Self {
        Self { message, at: None }
    }
}

impl From<serde_json::Error> for StrictJsonError {
    fn from(error: serde_json::Error) -> Self {
        Self { message: error.to_string(), at: Some((error.line() as u64, error.column() as u64)) }
    }
}

/// Parses one JSON value. Refuses a byte order mark, text that is not UTF-8, NUL in a text, a repeated key at any
/// depth, more than `max_depth` levels of nesting, and anything after the value.
pub fn parse_strict(bytes: &[u8], max_depth: usize) -> Result<Value, StrictJsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| StrictJsonError::whole(format!("not UTF-8: {error}")))?;
    if text.starts_with('\u{feff}') {
        return Err(StrictJsonError::whole("starts with a byte order mark".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: max_depth }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value).map(|text| Value::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            without_nul::<A::Error>(&key)?;
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} occurs twice")));
            }
            let value = access.next_value_seed(self.deeper()?)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

fn without_nul<E: Error>(text: &str) -> Result<&str, E> {
    if text.contains('\0') { Err(E::custom("text contains NUL")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeated_keys_are_refused_at_any_depth_and_in_any_spelling() {
        for bad in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"\u0062":2}}]"#] {
            let message = parse_strict(bad.as_bytes(), 32).unwrap_err().message;
            assert!(message.contains("occurs twice"), "{message}");
        }
    }

    #[test]
    fn only_one_clean_value_is_accepted() {
        let cases: [&[u8]; 8] = [
            b"",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\u0000"}"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e999}"#,
            br#"{"a":"\ud800"}"#,
        ];
        for bad in cases {
            assert!(parse_strict(bad, 32).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn depth_is_bounded_without_using_up_the_stack() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(parse_strict(&nested(32), 32).is_ok());
        assert!(parse_strict(&nested(33), 32).is_err());
        assert!(parse_strict(&nested(100_000), 32).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_strict(&bytes, 32);
        }
    }
}
