//! W3C trace context: `traceparent` and `tracestate`. Intake parses them once and passes them on as a value.
//!
//! Guarantees: malformed headers give no context and never an error. Written headers are valid, whatever was read.
//! Never: decides anything; creates an id.

/// Identifies a span that can become the parent of other spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
    tracestate: Option<String>,
}

/// Upper bound on the `tracestate` that is kept, in characters. Members beyond the bound are cut off.
const STATE_CAP: usize = 512;
/// Upper bound on the number of members of a `tracestate`. The standard sets it.
const MEMBERS: usize = 32;

impl TraceContext {
    /// Builds a context. `None` if one of the two ids is all zeros.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool, tracestate: Option<&str>) -> Option<Self> {
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, sampled, tracestate: tracestate.and_then(state) })
    }

    /// Parses the two headers of a record. `None` if there is no valid `traceparent`. Drops a malformed `tracestate`,
    /// and cuts the last members off a `tracestate` that is too long.
    pub fn read(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let text = traceparent?;
        let (head, rest) = text.split_at_checked(55)?;
        let mut parts = head.split('-');
        let version = bytes::<1>(parts.next()?)?;
        let (trace_id, span_id, flags) = (bytes(parts.next()?)?, bytes(parts.next()?)?, bytes::<1>(parts.next()?)?);
        let ends_well = match version {
            [0x00] => rest.is_empty(),
            [0xff] => false,
            // A later version may append fields.
            [_] => rest.is_empty() || rest.starts_with('-'),
        };
        let whole = parts.next().is_none();
        (ends_well && whole).then(|| Self::new(trace_id, span_id, flags[0] & 1 == 1, tracestate)).flatten()
    }

    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Returns whether the sender records this trace.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Returns the value of the header `traceparent`, in version 00.
    pub fn traceparent(&self) -> String {
        let (trace_id, span_id) = (hex::encode(self.trace_id), hex::encode(self.span_id));
        format!("00-{trace_id}-{span_id}-{:02x}", u8::from(self.sampled))
    }

    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

/// Decodes exactly `N` bytes from lower-case hexadecimal digits. `None` for any other text.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut found = [0; N];
    (lower && hex::decode_to_slice(text, &mut found).is_ok()).then_some(found)
}

/// Returns the first members of the list, up to the bounds. `None` if any member is malformed.
fn state(text: &str) -> Option<String> {
    let members: Vec<&str> =
        text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect();
    if members.is_empty() || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    let mut kept = String::new();
    for member in members.into_iter().take(MEMBERS) {
        if kept.len() + usize::from(!kept.is_empty()) + member.len() > STATE_CAP {
            break;
        }
        if !kept.is_empty() {
            kept.push(',');
        }
        kept.push_str(member);
    }
    (!kept.is_empty()).then_some(kept)
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*/@".contains(c);
    let is_value = |c: char| (' '..='~').contains(&c) && c != '=';
    (1..=256).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.chars().all(is_key)
        && (1..=256).contains(&value.len())
        && value.chars().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(traceparent: &str) -> Option<TraceContext> {
        TraceContext::read(Some(traceparent), None)
    }

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let context = TraceContext::read(Some(GOOD), Some("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")).unwrap();
        assert_eq!(context.traceparent(), GOOD);
        assert_eq!(context.tracestate(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
        assert!(context.is_sampled());
        // Of a later version, the known fields are read, and unknown flags are dropped.
        let later = format!("cc{}8-what-comes", &GOOD[2..54]).replace("-08-", "-09-");
        assert_eq!(read(&later).unwrap().traceparent(), GOOD);
        assert!(!read(&GOOD.replace("-01", "-02")).unwrap().is_sampled());
    }

    #[test]
    fn garbage_is_no_context() {
        assert_eq!(TraceContext::read(None, Some("a=b")), None);
        let zeros = ["0".repeat(32), "0".repeat(16)];
        let bad = [
            String::new(),
            "ü".repeat(40),
            GOOD.to_uppercase(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0x", 1),
            format!("cc{}.more", &GOOD[2..]),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &zeros[0]),
            GOOD.replace("b7ad6b7169203331", &zeros[1]),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", "0af7651916cd43dd-448eb211c80319c"),
            format!(" {GOOD}"),
        ];
        for text in bad {
            assert_eq!(read(&text), None, "{text:?}");
        }
    }

    #[test]
    fn a_state_is_bounded_and_a_malformed_one_is_left_out() {
        let state = |text: &str| TraceContext::read(Some(GOOD), Some(text)).unwrap().tracestate;
        for bad in ["", ",,", "a", "A=b", "a=", "a=b=c", "a=\u{202e}", "a=b\n", "=b"] {
            assert_eq!(state(bad), None, "{bad:?}");
        }
        let member = |key: char| format!("{key}={}", "v".repeat(200));
        let long = [member('a'), member('b'), member('c')].join(",");
        assert_eq!(state(&long), Some([member('a'), member('b')].join(",")));
        let many: Vec<String> = (0..40).map(|n| format!("k{n}=v")).collect();
        assert_eq!(state(&many.join(",")).unwrap().split(',').count(), MEMBERS);
    }
}
