//! Checks the signing key, the ownership boundaries, the requesters' policy, and the receiver of traces.

use super::finding::Finding;
use crate::config::{Config, LooseFile};
use crate::telemetry::{self, TelemetrySettings};

/// Checks the files that the configuration names, without asking another process.
pub fn check_documents(config: &Config) -> Vec<Finding> {
    let mut found = vec![signing(config), ownership(config)];
    found.extend(policy(config));
    found.extend(config.loose_files().into_iter().map(loose));
    found
}

/// A file that others may read or write.
fn loose(file: LooseFile) -> Finding {
    let LooseFile { key, why, refused } = file;
    let (found, advice) = why.split_once(": ").unwrap_or((&why, "change its mode"));
    if refused { Finding::red(key, found, advice) } else { Finding::yellow(key, found, advice) }
}

fn signing(config: &Config) -> Finding {
    let check = "signing key";
    match config.signing_key() {
        Ok(Some(key)) => Finding::green(check, format!("its public half has the digest {}", key.public().hint())),
        Ok(None) => {
            let advice =
                "set [signing] key_file; `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one";
            Finding::yellow(check, "bundles are not signed ([signing] allow_unsigned)", advice)
        }
        Err(error) => Finding::red(check, error.to_string(), "set [signing] key_file to a readable PEM of a P-256 key"),
    }
}

fn ownership(config: &Config) -> Finding {
    let check = "ownership";
    match config.ownership_boundaries() {
        Ok(boundaries) => {
            let whose = if config.worker.ownership_boundaries.is_some() { "the platform's" } else { "the shipped" };
            Finding::green(check, format!("{whose} document gives Model Factory its outputs ({})", boundaries.digest()))
        }
        Err(error) => Finding::red(check, error.to_string(), "mend the document of [worker] ownership_boundaries"),
    }
}

/// One finding about the policy, and one more for each thing that it leaves open.
fn policy(config: &Config) -> Vec<Finding> {
    const ADVICE: &str = "see docs/authority.md, \"What a policy leaves open\"";
    let check = "policy";
    match config.policy() {
        Ok(Some(policy)) => {
            let known = format!("it knows {} requesters ({})", policy.names(), policy.digest());
            let open = policy.openings().into_iter().map(|opening| Finding::yellow(check, opening, ADVICE));
            std::iter::once(Finding::green(check, known)).chain(open).collect()
        }
        Ok(None) => {
            vec![Finding::green(check, "none is set: whoever writes to the request topic may ask for everything")]
        }
        Err(error) => {
            let advice = "mend the file of [authority] policy; docs/authority.md shows how";
            vec![Finding::red(check, error.to_string(), advice)]
        }
    }
}

/// Checks whether the receiver of traces replies. Empty if no receiver is configured. Never red, because a worker works
/// without it.
pub(super) fn traces(settings: &TelemetrySettings) -> Vec<Finding> {
    match telemetry::check_receiver(settings) {
        None => Vec::new(),
        Some(Ok(url)) => vec![Finding::green("traces", format!("{url} takes spans"))],
        Some(Err(why)) => {
            let advice = "start the receiver (OTLP over HTTP, protobuf), or mend [telemetry]; runs do not wait for it";
            vec![Finding::yellow("traces", why, advice)]
        }
    }
}
