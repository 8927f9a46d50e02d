//! Decides on one message by the policy. Returns the requester's grant, or the rule that the message breaks.

use super::{Policy, Principal, RequesterCommand};
use crate::domain::contract::{Message, Rejection, SignedEnvelope, TrainBuildRequest};
use crate::domain::grant::Grant;
use crate::domain::rules_left::RulesLeft;
use crate::domain::run::{Failure, FailureCode};

const REQUESTER: &str = "/requester_principal";

impl Policy {
    /// Decides on a message from this topic. `envelope` is `Some` if the message is signed. Checks the signature before
    /// the requester's rights, so that a refusal reveals no rights to a sender who has not proved who they are.
    pub fn decide(
        &self,
        topic: &str,
        message: &Message,
        envelope: Option<&SignedEnvelope>,
    ) -> Result<&Grant, Rejection> {
        let name = message.requester_principal();
        let refuse =
            |pointer: &str, rule: String| Err(message.refused(FailureCode::RequesterNotAllowed, pointer, rule));
        let Some(principal) = self.principals.get(name) else {
            return refuse(REQUESTER, format!("the policy does not know {}", shown(name)));
        };
        principal
            .check_signature(name, envelope)
            .map_err(|why| message.refused(FailureCode::SignatureInvalid, "", why))?;
        if principal.topics.as_ref().is_some_and(|topics| !topics.contains(topic)) {
            return refuse(REQUESTER, format!("{} may not ask by the topic {topic}", shown(name)));
        }
        let command = match message {
            Message::Train(request) => {
                let checked = principal.grant.check(request);
                return match checked {
                    Ok(_) => Ok(&principal.grant),
                    Err((pointer, rule)) => refuse(&pointer, format!("{} may not ask for {rule}", shown(name))),
                };
            }
            Message::Cancel(_) => (RequesterCommand::Cancel, "cancel runs"),
            Message::PublishRetry(_) => (RequesterCommand::PublishRetry, "have bundles announced again"),
        };
        // Under the run's lock, the ledger checks whether the grant allows this command on this run.
        if principal.commands.contains(&command.0) {
            Ok(&principal.grant)
        } else {
            refuse(REQUESTER, format!("{} may not {}", shown(name), command.1))
        }
    }

    /// Returns what a run may use that these requests asked for. Judges their text again, since the policy may have
    /// changed since they were admitted. Fails if no request is allowed any more.
    pub fn rules_for<'r>(
        &self,
        requests: impl IntoIterator<Item = &'r TrainBuildRequest>,
    ) -> Result<RulesLeft, Failure> {
        let mut rules = Vec::new();
        let mut refused = None;
        for request in requests {
            let name = &request.requester_principal;
            match self.principals.get(name).map(|principal| principal.grant.check(request)) {
                Some(Ok(allowing)) => rules.extend(allowing),
                Some(Err((_, rule))) => refused = refused.or(Some(format!("{} may not ask for {rule}", shown(name)))),
                None => refused = refused.or(Some(format!("the policy does not know {}", shown(name)))),
            }
        }
        if rules.is_empty() {
            let why = refused.unwrap_or_else(|| "nobody asks for it".to_owned());
            return Err(Failure::new(FailureCode::RequesterNotAllowed, why));
        }
        Ok(RulesLeft::new(rules))
    }
}

impl Principal {
    /// Checks the signature. If the policy has keys of the principal, the message must be signed. If it is signed, one
    /// signature must be valid.
    fn check_signature(&self, name: &str, envelope: Option<&SignedEnvelope>) -> Result<(), String> {
        match envelope {
            None if self.keys.is_empty() => Ok(()),
            None => Err(format!("requests of {} must be signed", shown(name))),
            Some(_) if self.keys.is_empty() => {
                Err(format!("the policy holds no key of {}, so that its signature cannot be checked", shown(name)))
            }
            Some(SignedEnvelope { payload, signatures }) => {
                let holds = |signature: &Vec<u8>| self.keys.iter().any(|key| key.verifies(payload, signature));
                if signatures.iter().any(holds) {
                    Ok(())
                } else {
                    Err(format!("no key of {} made a signature over these bytes", shown(name)))
                }
            }
        }
    }
}

/// Puts a name in quotes and cuts it to 200 characters.
fn shown(name: &str) -> String {
    const CAP: usize = 200;
    let capped: String = name.chars().take(CAP).collect();
    if capped.len() < name.len() { format!("{capped:?}…") } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::signing::{PrivateKey, RequesterPrivateKey};
    use crate::domain::contract::{AllowList, OpenedMessage, open};
    use serde_json::{Value, json};

    const POLICY: &str = "\
schema_version: platform.requester_policy.v0
principals:
  - names: [risk]
    may:
      - {intents: [baseline_train], scopes: [production/fraud, 'staging/*/primary'], publish: true, inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}
      - {intents: [baseline_train, candidate_eval], scopes: ['*'], tenants: ['*'], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}
    commands: [cancel, publish_retry]
  - names: [acme, 'acme:batch']
    topics: [other]
    may: [{intents: [candidate_eval], scopes: [production], tenants: [acme], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
    commands: [cancel]
  - names: [signer]
    keys: [{file: signer.pub}, {file: second.pub}]
    may: [{intents: [baseline_train], scopes: ['*'], inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]
";

    fn key(curve: &str) -> RequesterPrivateKey {
        match curve {
            "ed25519" => RequesterPrivateKey::from_pem(ED25519).unwrap(),
            _ => RequesterPrivateKey::P256(PrivateKey::generate()),
        }
    }

    const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFMf9mjJ6D+C8GsNNYpB9t8Sst2/CNEClta1w1zgd+eE
-----END PRIVATE KEY-----
";

    fn policy(first: &RequesterPrivateKey, second: &RequesterPrivateKey) -> Policy {
        Policy::read(POLICY.as_bytes(), |path| match path {
            "signer.pub" => Ok(first.public().to_pem()),
            _ => Ok(second.public().to_pem()),
        })
        .unwrap()
    }

    /// Returns code and pointer of the refusal. `None` if the policy grants the message.
    fn decided(policy: &Policy, topic: &str, value: &[u8]) -> Option<(&'static str, String)> {
        let OpenedMessage { message, wrapping } =
            open(value, &AllowList::new(["s3://fraud-platform".to_owned()], true));
        let refused = policy.decide(topic, &message.unwrap(), wrapping.envelope.as_ref()).err()?;
        assert_eq!(refused.ids.request_id.as_deref(), Some("req-20260101-0001"));
        for other in ["candidate", "acme:batch", "second.pub", "staging"] {
            assert!(!refused.message.contains(other), "the policy's other content: {}", refused.message);
        }
        Some((refused.code.as_str(), refused.pointer))
    }

    fn request(principal: &str, intent: &str, scope: &str, publish: bool) -> Value {
        let mut value: Value = serde_json::from_str(include_str!("../../../tests/golden/requests/base.json")).unwrap();
        let mut parts = scope.split('/');
        let mut target = serde_json::Map::new();
        for (name, part) in ["environment", "mode", "bundle_slot", "tenant_id"].into_iter().zip(&mut parts) {
            target.insert(name.to_owned(), json!(part));
        }
        value["request_id"] = json!("req-20260101-0001");
        value["requester_principal"] = json!(principal);
        value["intent_kind"] = json!(intent);
        value["target_scope"] = Value::Object(target);
        value["publish_allowed"] = json!(publish);
        value
    }

    fn command(kind: &str, principal: &str) -> Value {
        json!({"schema_version": format!("learning.mf_{kind}.v0"), "request_id": "req-20260101-0001",
               "run_id": "tr_00000000000000000000000000000001", "requester_principal": principal, "reason": "x"})
    }

    #[test]
    fn what_is_not_allowed_is_refused_at_the_field_that_breaks_the_rule() {
        let policy = policy(&key("ed25519"), &key("p256"));
        let (train, eval) = ("baseline_train", "candidate_eval");
        let table = [
            ("risk", train, "production/fraud/primary", true, None),
            ("risk", train, "staging/fraud/primary", true, None),
            ("risk", train, "staging/fraud/second", true, Some("/publish_allowed")),
            ("risk", train, "production/fraudulent/primary", true, Some("/publish_allowed")),
            ("risk", train, "production/fraud/primary/acme", true, Some("/publish_allowed")),
            ("risk", train, "production/fraud/primary/acme", false, None),
            ("risk", eval, "elsewhere/any/slot", false, None),
            ("risk", "backfill_retrain", "production/fraud/primary", true, Some("/intent_kind")),
            ("acme", eval, "production/fraud/primary/acme", false, None),
            ("acme:batch", eval, "production/fraud/primary/acme", false, None),
            ("acme", eval, "production/fraud/primary/other", false, Some("/target_scope/tenant_id")),
            ("acme", eval, "production/fraud/primary", false, Some("/target_scope")),
            ("acme", eval, "production2/fraud/primary/acme", false, Some("/target_scope")),
            ("acme", train, "production/fraud/primary/acme", false, Some("/intent_kind")),
            ("Risk", train, "production/fraud/primary", false, Some("/requester_principal")),
            ("nobody", train, "production/fraud/primary", false, Some("/requester_principal")),
        ];
        for (principal, intent, scope, publish, pointer) in table {
            let value = request(principal, intent, scope, publish).to_string();
            let expected = pointer.map(|pointer| ("REQUESTER_NOT_ALLOWED", pointer.to_owned()));
            assert_eq!(decided(&policy, "other", value.as_bytes()), expected, "{principal} {intent} {scope} {publish}");
        }
        for (kind, principal, allowed) in [
            ("cancel", "risk", true),
            ("publish_retry", "risk", true),
            ("cancel", "acme", true),
            ("publish_retry", "acme", false),
            ("cancel", "nobody", false),
        ] {
            let found = decided(&policy, "other", command(kind, principal).to_string().as_bytes());
            assert_eq!(found.is_none(), allowed, "{kind} {principal}: {found:?}");
        }
    }

    #[test]
    fn a_requester_comes_by_its_own_topics() {
        let policy = policy(&key("ed25519"), &key("p256"));
        let value = request("acme", "candidate_eval", "production/fraud/primary/acme", false).to_string();
        let refused = Some(("REQUESTER_NOT_ALLOWED", "/requester_principal".to_owned()));
        assert_eq!(decided(&policy, "requests", value.as_bytes()), refused);
        assert_eq!(decided(&policy, "other", value.as_bytes()), None);
    }

    #[test]
    fn a_signature_must_be_there_where_there_are_keys_and_hold_where_it_is_there() {
        let refused = Some(("SIGNATURE_INVALID", String::new()));
        for curve in ["ed25519", "p256"] {
            let (own, second, foreign) = (key(curve), key("p256"), key("p256"));
            let policy = policy(&own, &second);
            let value = request("signer", "baseline_train", "production/fraud/primary", false).to_string();
            let sealed = own.seal(value.as_bytes());
            assert_eq!(decided(&policy, "t", &sealed), None, "{curve}");
            assert_eq!(decided(&policy, "t", &second.seal(value.as_bytes())), None, "either key will do");
            assert_eq!(decided(&policy, "t", value.as_bytes()), refused, "unsigned");
            assert_eq!(decided(&policy, "t", &foreign.seal(value.as_bytes())), refused, "a key of nobody's");
            // The signature with other bytes: first other content, then the same content with other white space.
            for other in [value.replace("mf-policy-v0", "mf-policy-v1"), value.replace("\":", "\": ")] {
                assert_ne!(other, value);
                let mut forged: Value = serde_json::from_slice(&sealed).unwrap();
                let payload: Value = serde_json::from_slice(&own.seal(other.as_bytes())).unwrap();
                forged["payload"] = payload["payload"].clone();
                assert_eq!(decided(&policy, "t", forged.to_string().as_bytes()), refused, "{curve}");
            }
            // Signed data in an unsigned CloudEvent, and a signed CloudEvent.
            let event = |data: &[u8]| {
                let data: Value = serde_json::from_slice(data).unwrap();
                let kind = "io.modelfactory.train_build_request";
                json!({"specversion": "1.0", "id": "1", "source": "/t", "type": kind, "data": data}).to_string()
            };
            assert_eq!(decided(&policy, "t", event(&sealed).as_bytes()), None);
            assert_eq!(decided(&policy, "t", &own.seal(event(value.as_bytes()).as_bytes())), None);
            assert_eq!(decided(&policy, "t", event(&foreign.seal(value.as_bytes())).as_bytes()), refused);
            assert_eq!(decided(&policy, "t", event(value.as_bytes()).as_bytes()), refused, "unsigned");
            // A signature by a principal for whom the policy has no key.
            let keyless = request("risk", "baseline_train", "production/fraud/primary", false).to_string();
            assert_eq!(decided(&policy, "t", &own.seal(keyless.as_bytes())), refused);
            // A foreign signature beside a valid one.
            let mut both: Value = serde_json::from_slice(&sealed).unwrap();
            let foreign: Value = serde_json::from_slice(&foreign.seal(value.as_bytes())).unwrap();
            let own_signature = both["signatures"][0].clone();
            both["signatures"] = json!([foreign["signatures"][0], own_signature]);
            assert_eq!(decided(&policy, "t", both.to_string().as_bytes()), None);
        }
    }
}
