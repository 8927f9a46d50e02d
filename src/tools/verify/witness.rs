//! Checks what an auditor has besides the bundle: the publication receipt, the request, and the registry's event.

use super::expected::Expected;
use super::folder::Folder;
use super::link::{BrokenLink, CheckedLink, Link};
use crate::adapters::evidence::RunFolder;
use crate::domain::contract::{
    BundleManifest, Confirmation, PublishReceipt, RegistryEvent, RegistryVerdict, SchemaName, TrainPlan,
    envelope_around, parse_accepted, read_json,
};
use crate::domain::harmless::line;
use crate::domain::identity::Digest;

/// What the given documents say, each as a sentence for people. `None` if a document was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Witnessed {
    pub(super) published: Option<String>,
    pub(super) requester: Option<String>,
    pub(super) approval: Option<String>,
}

/// The bundle that the documents must be about.
pub(super) struct About<'a> {
    pub(super) folder: &'a Folder,
    pub(super) plan: &'a TrainPlan,
    pub(super) bundle_id: Digest,
    pub(super) version: &'a str,
}

impl About<'_> {
    /// Checks every given document. Adds each link that holds to `checked`.
    pub(super) fn check(&self, expected: &Expected, checked: &mut Vec<CheckedLink>) -> Result<Witnessed, BrokenLink> {
        let mut witnessed = Witnessed::default();
        let mut note = |link, checked_by: &str| checked.push(CheckedLink { link, checked: checked_by.to_owned() });
        let receipt = expected.receipt.as_deref().map(|bytes| self.receipt(bytes)).transpose()?;
        if let Some(receipt) = &receipt {
            let said = published(receipt);
            note(Link::Publication, &said);
            witnessed.published = Some(said);
        }
        if let Some(bytes) = &expected.request {
            let said = self.requester(bytes, expected)?;
            note(Link::Requester, &said);
            witnessed.requester = Some(said);
        }
        if let Some(bytes) = &expected.registry_event {
            let said = self.approval(bytes, receipt.as_ref())?;
            note(Link::Approval, &said);
            witnessed.approval = Some(said);
        }
        Ok(witnessed)
    }

    fn receipt(&self, bytes: &[u8]) -> Result<PublishReceipt, BrokenLink> {
        let link = Link::Publication;
        let receipt: PublishReceipt =
            read_json(SchemaName::PublishReceipt, bytes).map_err(|error| link.broken(line(&error.to_string(), 400)))?;
        let manifest = self.folder.get(link, BundleManifest::FILE)?;
        let parts = [
            ("run", receipt.run_id == self.plan.run_id),
            ("bundle id", receipt.bundle_id == self.bundle_id),
            ("bundle version", receipt.bundle_version == self.version),
            ("digest of bundle.json", receipt.bundle_digest == Digest::of(manifest)),
            ("folder", receipt.bundle_ref == self.folder_in_store()),
            ("scope", receipt.scope_key == self.plan.target_scope.scope_key()),
        ];
        match parts.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(link.broken(format!("it names another {what}"))),
            None => Ok(receipt),
        }
    }

    /// Says who asked. Only a signature by a key that the auditor knows proves it.
    fn requester(&self, bytes: &[u8], expected: &Expected) -> Result<String, BrokenLink> {
        let link = Link::Requester;
        let request = parse_accepted(bytes).map_err(|rejection| link.broken(rejection))?;
        let (found, run) = (request.run_key(), self.plan.run_key);
        link.must(found == run, || {
            format!("it asks for the run {}, the bundle is of {}", found.run_id(), run.run_id())
        })?;
        let (principal, id) = (line(&request.requester_principal, 200), line(&request.request_id, 200));
        let by = format!("{principal}, in the request {id}");
        match (&expected.requester_key, envelope_around(bytes)) {
            (Some(key), Some(envelope)) => {
                let mut signatures = envelope.signatures.iter();
                let is_signed = signatures.any(|signature| key.verifies(&envelope.payload, signature));
                link.must(is_signed, || "the given requester key did not sign it".to_owned())?;
                Ok(format!("{by}, signed with the given requester key"))
            }
            (Some(_), None) => Err(link.broken("it is not signed, and a requester key was given")),
            (None, Some(_)) => Ok(format!("{by}; NOT CHECKED: who signed it, since no requester key was given")),
            (None, None) => Ok(format!("{by}; the request is not signed, so anybody could have used the name")),
        }
    }

    fn approval(&self, bytes: &[u8], receipt: Option<&PublishReceipt>) -> Result<String, BrokenLink> {
        let link = Link::Approval;
        let event = RegistryEvent::read(bytes).map_err(|error| link.broken(line(&error.to_string(), 400)))?;
        let same = event.scope_key == self.plan.target_scope.scope_key() && event.bundle_ref == self.folder_in_store();
        link.must(same, || "it is about another bundle or scope".to_owned())?;
        link.must(event.verdict() == Some(RegistryVerdict::Published), || event.sentence())?;
        if let Some(Confirmation::Registry { registry_event_id }) = receipt.map(|receipt| &receipt.confirmed) {
            let same = *registry_event_id == event.registry_event_id;
            link.must(same, || {
                format!("the publication receipt names another event, {}", line(registry_event_id, 200))
            })?;
        }
        let at = event.ts_utc.format("%Y-%m-%d %H:%M:%S UTC");
        Ok(format!(
            "the event says: {}, at {at}; NOT CHECKED: whether it does, since events are not signed",
            event.sentence()
        ))
    }

    fn folder_in_store(&self) -> String {
        RunFolder::new(&self.plan.platform_run_id, &self.plan.run_id).bundle_folder()
    }
}

const UNSIGNED: &str = "whether it was, since receipts are not signed";

fn published(receipt: &PublishReceipt) -> String {
    let record = &receipt.record;
    let at = format!("record {} of partition {} of {}", record.offset, record.partition, line(&record.topic, 200));
    match &receipt.confirmed {
        Confirmation::Broker => format!("the receipt says: {at}, acknowledged by the broker; NOT CHECKED: {UNSIGNED}"),
        Confirmation::Registry { registry_event_id } => {
            format!(
                "the receipt says: {at}, confirmed by the registry's event {}; NOT CHECKED: {UNSIGNED}",
                line(registry_event_id, 200)
            )
        }
    }
}
