//! What `submit` finds out about a request before it is sent: its identity, or why a worker would refuse it.

use crate::cli::output::{Output, json_lines, print_table};
use crate::domain::contract::{CommandMessage, Message};
use crate::domain::identity::Digest;
use crate::worker::intake::BatchScreening;
use serde::Serialize;
use std::io::Write;

/// A request with its identity, or with the reason why a worker would refuse it.
#[derive(Debug, Default, Serialize)]
pub(super) struct CheckedRequest {
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// True if the request is decided by the gate's verdict. False if it is decided by the publication.
    #[serde(skip)]
    pub(super) ends_at_gate: bool,
    /// The value of the request's record. Empty if a worker would refuse the request.
    #[serde(skip)]
    pub(super) bytes: Vec<u8>,
    /// The digest of `bytes`, by which the event about a rejected record names it. `None` if there is no record.
    #[serde(skip)]
    pub(super) record_sha256: Option<Digest>,
}

/// Splits a file into requests. If the file is not one JSON value but at least one of its lines is, each line is a
/// request. Otherwise the whole file is one request.
pub(super) fn requests(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    let lines: Vec<&[u8]> =
        bytes.split(|&b| b == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).collect();
    if lines.len() > 1 && !is_json(&bytes) && lines.iter().any(|line| is_json(line)) {
        return lines.into_iter().map(<[u8]>::to_vec).collect();
    }
    vec![bytes]
}

pub(super) fn check(bytes: Vec<u8>, topic: &str, batch: &mut BatchScreening<'_>) -> CheckedRequest {
    let empty = CheckedRequest::default();
    match batch.judge(topic, &bytes).0 {
        Ok(Message::Train(request)) => {
            let run_key = request.run_key();
            CheckedRequest {
                request_id: Some(request.request_id.clone()),
                run_key: Some(run_key.to_string()),
                run_id: Some(run_key.run_id().to_string()),
                ends_at_gate: !request.publish_allowed || !request.intent_kind.is_publishable(),
                record_sha256: Some(Digest::of(&bytes)),
                bytes,
                ..empty
            }
        }
        Ok(
            Message::PublishRetry(CommandMessage { request_id, run_id, .. })
            | Message::Cancel(CommandMessage { request_id, run_id, .. }),
        ) => CheckedRequest {
            request_id: Some(request_id),
            run_id: Some(run_id.to_string()),
            record_sha256: Some(Digest::of(&bytes)),
            bytes,
            ..empty
        },
        Err(rejection) => CheckedRequest {
            request_id: rejection.ids.request_id,
            code: Some(rejection.code.to_string()),
            pointer: Some(rejection.pointer),
            message: Some(rejection.message),
            ..empty
        },
    }
}

pub(super) fn print(out: &mut dyn Write, output: Output, checked: &[CheckedRequest]) -> anyhow::Result<()> {
    if output == Output::Json {
        return Ok(json_lines(out, checked)?);
    }
    for request in checked {
        let id = request.request_id.as_deref().unwrap_or("(no id)");
        match (&request.code, &request.run_id) {
            (Some(code), _) => {
                let (pointer, message) = (request.pointer.as_deref(), request.message.as_deref());
                writeln!(out, "{id}: {code} at {:?}: {}", pointer.unwrap_or_default(), message.unwrap_or_default())?;
            }
            (None, run_id) => {
                if let Some(run_key) = &request.run_key {
                    writeln!(out, "  run key {run_key}")?;
                }
                let run = ["RUN".to_owned(), run_id.clone().unwrap_or_default()];
                print_table(out, ["REQUEST", id], [run])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract;
    use crate::worker::intake::Screening;

    #[test]
    fn one_value_is_one_request_and_lines_of_values_are_many() {
        assert_eq!(requests(b"{\n  \"a\": 1\n}\n".to_vec()).len(), 1);
        assert_eq!(requests(b"{\"a\":1}\n{\"a\":2}\n\n".to_vec()).len(), 2);
        assert_eq!(requests(b"{broken\n".to_vec()).len(), 1);
    }

    #[test]
    fn a_dry_run_prints_identity_or_rejection_as_json() {
        let screening = Screening::from(contract::AllowList::new(["s3://fraud-platform".to_owned()], true));
        let schema: serde_json::Value =
            serde_json::from_str(contract::schema_text(contract::SchemaName::TrainBuildRequest)).unwrap();
        let good = check(schema["examples"][0].to_string().into_bytes(), "requests", &mut screening.of_batch());
        let bad = check(b"{}".to_vec(), "requests", &mut screening.of_batch());
        let mut out = Vec::new();
        print(&mut out, Output::Json, &[good, bad]).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines[0]["run_id"].as_str().unwrap().starts_with("tr_"));
        assert_eq!(lines[0]["run_key"].as_str().unwrap().len(), 64);
        assert_eq!(lines[1]["code"], "SCHEMA_VERSION_UNSUPPORTED");
        assert_eq!(lines[1]["pointer"], "/schema_version");
    }
}
