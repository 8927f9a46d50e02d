//! Reads the policy's file. Reports all errors in the file at once.

use super::{Policy, Principal, RequesterCommand};
use crate::adapters::signing::RequesterKey;
use crate::domain::contract::{DocumentError, IntentKind, ObjectList, ObjectName, SchemaName, read_yaml_all};
use crate::domain::grant::{Grant, Quota, Rule, Tenants};
use crate::domain::identity::{Digest, Hasher};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidPolicy(pub Vec<DocumentError>);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyDocument {
    #[serde(rename = "schema_version")]
    _schema_version: String,
    principals: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    names: Vec<String>,
    topics: Option<Vec<String>>,
    #[serde(default)]
    keys: Vec<KeySource>,
    #[serde(default)]
    may: Vec<May>,
    #[serde(default)]
    commands: Vec<RequesterCommand>,
    #[serde(default)]
    quota: Quota,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeySource {
    File(String),
    Pem(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct May {
    intents: Vec<IntentKind>,
    scopes: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    publish: bool,
    /// `None` in an entry that was written for a release without the three lists of objects.
    inputs: Option<Vec<String>>,
    training_profiles: Option<Vec<String>>,
    governance_profiles: Option<Vec<String>>,
}

impl Policy {
    /// Reads YAML. `key_file` takes the path of a key's file from the policy and returns the file's text.
    pub fn read(bytes: &[u8], key_file: impl Fn(&str) -> Result<String, String>) -> Result<Self, InvalidPolicy> {
        let document: PolicyDocument = read_yaml_all(SchemaName::RequesterPolicy, bytes).map_err(InvalidPolicy)?;
        let mut principals = BTreeMap::new();
        let mut wrong = Vec::new();
        let fingerprint = RefCell::new(Hasher::new());
        fingerprint.borrow_mut().update(bytes);
        let key_file = |name: &str| {
            let text = key_file(name)?;
            fingerprint.borrow_mut().update(Digest::of(text.as_bytes()).as_bytes());
            Ok(text)
        };
        for (index, entry) in document.principals.into_iter().enumerate() {
            let at = format!("/principals/{index}");
            let (names, principal) = entry.checked(&at, key_file, &mut wrong);
            let principal = Arc::new(principal);
            for (line, name) in names.into_iter().enumerate() {
                if principals.insert(name, Arc::clone(&principal)).is_some() {
                    wrong.push(error(format!("{at}/names/{line}"), "another entry has the same name"));
                }
            }
        }
        if !wrong.is_empty() {
            return Err(InvalidPolicy(wrong));
        }
        Ok(Self { principals, digest: Digest::of(bytes), fingerprint: fingerprint.into_inner().finish() })
    }
}

impl Entry {
    fn checked(
        self,
        at: &str,
        key_file: impl Fn(&str) -> Result<String, String>,
        wrong: &mut Vec<DocumentError>,
    ) -> (Vec<String>, Principal) {
        let mut keys = Vec::new();
        for (index, source) in self.keys.into_iter().enumerate() {
            let pem = match source {
                KeySource::File(path) => key_file(&path),
                KeySource::Pem(pem) => Ok(pem),
            };
            match pem.and_then(|pem| RequesterKey::from_pem(&pem).map_err(|error| error.to_string())) {
                Ok(key) => keys.push(key),
                Err(why) => wrong.push(error(format!("{at}/keys/{index}"), why)),
            }
        }
        let may = self.may.into_iter().enumerate();
        let rules: Vec<Rule> = may.map(|(index, may)| may.rule(&format!("{at}/may/{index}"), wrong)).collect();
        if rules.is_empty() && !self.commands.is_empty() {
            wrong.push(error(format!("{at}/commands"), "an entry of may must say for which scopes"));
        }
        if self.commands.contains(&RequesterCommand::PublishRetry) && !rules.iter().any(|rule| rule.publish) {
            wrong.push(error(format!("{at}/commands"), "publish_retry needs an entry of may with publish: true"));
        }
        let principal = Principal {
            topics: self.topics.map(|topics| topics.into_iter().collect()),
            keys,
            commands: self.commands.into_iter().collect(),
            grant: Grant::new(rules, self.quota),
        };
        (self.names, principal)
    }
}

impl May {
    fn rule(self, at: &str, wrong: &mut Vec<DocumentError>) -> Rule {
        let Self { inputs, training_profiles, governance_profiles, .. } = &self;
        if inputs.is_none() && training_profiles.is_none() && governance_profiles.is_none() {
            let rule = "an entry allows only the objects that it names: add inputs, training_profiles and \
                        governance_profiles ([\"*\"] leaves a list open)";
            wrong.push(error(at.to_owned(), rule));
        }
        let mut list = |name: &str, entries: Option<Vec<String>>| {
            let mut names = Vec::new();
            for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
                match ObjectName::read(entry) {
                    Ok(ObjectName::Content(_)) if name == "inputs" => {
                        let rule = "inputs are named by reference or prefix; their digests stand in manifests";
                        wrong.push(error(format!("{at}/{name}/{index}"), rule));
                    }
                    Ok(read) => names.push(read),
                    Err(why) => wrong.push(error(format!("{at}/{name}/{index}"), format!("{entry:?}: {why}"))),
                }
            }
            ObjectList::new(names)
        };
        Rule {
            inputs: list("inputs", self.inputs),
            training_profiles: list("training_profiles", self.training_profiles),
            governance_profiles: list("governance_profiles", self.governance_profiles),
            intents: self.intents,
            scopes: self.scopes.iter().map(|scope| scope.split('/').map(str::to_owned).collect()).collect(),
            tenants: match self.tenants {
                tenants if tenants.is_empty() => Tenants::None,
                tenants if tenants.iter().any(|tenant| tenant == "*") => Tenants::Any,
                tenants => Tenants::These(tenants),
            },
            publish: self.publish,
        }
    }
}

fn error(pointer: String, rule: impl Into<String>) -> DocumentError {
    DocumentError { pointer, rule: rule.into(), missing: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let text = format!("schema_version: platform.requester_policy.v0\n{text}");
        match Policy::read(text.as_bytes(), |path| Err(format!("cannot read {path}"))) {
            Ok(_) => Vec::new(),
            Err(InvalidPolicy(problems)) => problems.into_iter().map(|error| error.pointer).collect(),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once_with_its_pointer() {
        let by_schema = problems(
            "principals:\n- {name: [a]}\n- {names: [b], may: [{intents: [train], scopes: ['prod*']}]}\n\
             - {names: [c], quota: {per_week: 1}}\n",
        );
        for pointer in [
            "/principals/0/name",
            "/principals/0/names",
            "/principals/1/may/0/intents/0",
            "/principals/1/may/0/scopes/0",
            "/principals/2/quota/per_week",
        ] {
            assert!(by_schema.iter().any(|found| found == pointer), "{pointer} is not in {by_schema:?}");
        }
        let by_meaning = problems(
            "principals:\n- {names: [a, b], keys: [{file: gone.pub}, {pem: no key}]}\n\
             - {names: [b], commands: [cancel]}\n\
             - {names: [c], commands: [publish_retry], may: [{intents: [candidate_eval], scopes: ['*']}]}\n",
        );
        let expected = [
            "/principals/0/keys/0",
            "/principals/0/keys/1",
            "/principals/1/commands",
            "/principals/1/names/0",
            "/principals/2/may/0",
            "/principals/2/commands",
        ];
        assert_eq!(by_meaning, expected);
        let of_objects = problems(
            "principals:\n- {names: [a], may: [{intents: [candidate_eval], scopes: ['*'], inputs: ['sha256:00', a, /b], \
             governance_profiles: ['sha256:00', g]}]}\n",
        );
        let may = "/principals/0/may/0";
        assert_eq!(of_objects, ["inputs/0", "inputs/2", "governance_profiles/0"].map(|at| format!("{may}/{at}")));
    }

    #[test]
    fn a_policy_without_principals_is_one() {
        assert!(problems("principals: []\n").is_empty());
        assert!(!problems("principals: []\nprincipals: []\n").is_empty(), "a repeated key");
        assert!(!problems("").is_empty());
    }
}
