//! What a requester may ask for: rules over scopes, tenants, intents, the right to publish, and the objects that a
//! request points at.

use super::contract::{IntentKind, ObjectList, Reference, TargetScope, TrainBuildRequest};
use super::identity::Digest;
use serde::Deserialize;
use std::sync::Arc;

/// What the policy allows one requester. Clones share the rules.
#[derive(Debug, Clone)]
pub struct Grant {
    rules: Arc<[Arc<Rule>]>,
    quota: Quota,
}

/// How much a requester may ask for. A field that is `None` sets no bound, except for `joins_per_day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Upper bound on runs that wait or are worked on at one time.
    pub in_flight: Option<u32>,
    /// Upper bound on runs admitted within the last 24 hours.
    pub per_day: Option<u32>,
    /// Upper bound on requests that joined an existing run within the last 24 hours. `None` means 100 in a quota that
    /// sets another bound.
    pub joins_per_day: Option<u32>,
}

impl Quota {
    /// Returns the bound on requests that join a run within 24 hours. Each of them takes an id for ever and emits an
    /// event.
    pub fn joins(self) -> u32 {
        const USUAL: u32 = 100;
        self.joins_per_day.unwrap_or(USUAL)
    }
}

/// One rule of a grant. A request is allowed if a single rule allows all of it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub intents: Vec<IntentKind>,
    /// Each entry holds the first one to three parts of `environment/mode/bundle_slot`. `*` matches any part.
    pub scopes: Vec<Vec<String>>,
    pub tenants: Tenants,
    pub publish: bool,
    /// Manifests, data files and bundles that may be read.
    pub inputs: ObjectList,
    pub training_profiles: ObjectList,
    pub governance_profiles: ObjectList,
}

/// The lists of a rule that name profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileKind {
    Training,
    Governance,
}

impl ProfileKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training profile",
            Self::Governance => "governance profile",
        }
    }
}

#[derive(Debug, Clone)]
pub enum Tenants {
    /// Only scopes without a tenant are allowed.
    None,
    These(Vec<String>),
    /// Scopes with any tenant are allowed, and scopes without one.
    Any,
}

impl Rule {
    fn covers(&self, scope: &TargetScope) -> bool {
        let parts = [&scope.environment, &scope.mode, &scope.bundle_slot];
        self.scopes.iter().any(|scope| scope.iter().zip(parts).all(|(given, part)| given == "*" || given == part))
    }

    fn covers_tenant(&self, scope: &TargetScope) -> bool {
        match (&self.tenants, &scope.tenant_id) {
            (Tenants::Any, _) | (Tenants::None, None) => true,
            (Tenants::None, Some(_)) | (Tenants::These(_), None) => false,
            (Tenants::These(tenants), Some(tenant)) => tenants.contains(tenant),
        }
    }
}

impl Rule {
    /// Whether the rule lets a manifest, data file or bundle be read. `*` stands for all that the operator's allow-list
    /// lets a worker open.
    pub fn lets_read(&self, input: &Reference) -> bool {
        self.inputs.has_any() || self.inputs.names_location(input)
    }

    /// Whether the rule lets a profile be used. An entry with its reference, or with a prefix of it, is enough. An entry
    /// with its digest, or `*`, is enough only for a profile that `inputs` lets be read. `sha256` is `None` before the
    /// profile is read: then any digest may turn out to be that of the profile.
    pub fn lets_use(&self, kind: ProfileKind, profile: &Reference, sha256: Option<&Digest>) -> bool {
        let list = match kind {
            ProfileKind::Training => &self.training_profiles,
            ProfileKind::Governance => &self.governance_profiles,
        };
        let by_content = || match sha256 {
            Some(sha256) => list.names_content(sha256),
            None => list.has_content(),
        };
        list.names_location(profile) || (self.lets_read(profile) && (list.has_any() || by_content()))
    }

    /// All references and prefixes of the rule. `None` if the rule lets everything be read.
    pub fn prefixes(&self) -> Option<impl Iterator<Item = &str>> {
        let lists = [&self.inputs, &self.training_profiles, &self.governance_profiles];
        (!self.inputs.has_any()).then(|| lists.into_iter().flat_map(ObjectList::prefixes))
    }
}

impl Grant {
    pub fn new(rules: Vec<Rule>, quota: Quota) -> Self {
        Self { rules: rules.into_iter().map(Arc::new).collect(), quota }
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns whether a command may change a run of this scope. `publishes` says that the command announces the bundle
    /// again.
    pub fn covers(&self, scope: &TargetScope, publishes: bool) -> bool {
        self.rules.iter().any(|rule| rule.covers(scope) && rule.covers_tenant(scope) && (rule.publish || !publishes))
    }

    /// Returns the rules that allow the whole request, as far as its text says. If none does, returns the first
    /// obstacle, in the order intent, scope, tenant, publication, manifests, training profile, governance profile. The
    /// error is a JSON pointer into the message, and the broken rule in words.
    pub fn check(&self, request: &TrainBuildRequest) -> Result<Vec<Arc<Rule>>, (String, String)> {
        let scope = &request.target_scope;
        let mut left: Vec<Arc<Rule>> = self.rules.to_vec();
        let mut narrow = |keeps: &dyn Fn(&Rule) -> bool, pointer: &str, rule: &dyn Fn() -> String| {
            left.retain(|rule| keeps(rule));
            if left.is_empty() { Err((pointer.to_owned(), rule())) } else { Ok(()) }
        };
        let intent = request.intent_kind;
        narrow(&|rule| rule.intents.contains(&intent), "/intent_kind", &|| format!("the intent {}", intent.as_str()))?;
        let path = || format!("{}/{}/{}", scope.environment, scope.mode, scope.bundle_slot);
        narrow(&|rule| rule.covers(scope), "/target_scope", &|| format!("the scope {} with this intent", path()))?;
        let (pointer, tenant) = match &scope.tenant_id {
            Some(tenant) => ("/target_scope/tenant_id", format!("the tenant {tenant} in this scope")),
            None => ("/target_scope", "this scope without a tenant".to_owned()),
        };
        narrow(&|rule| rule.covers_tenant(scope), pointer, &|| tenant.clone())?;
        if request.publish_allowed {
            narrow(&|rule| rule.publish, "/publish_allowed", &|| "publication in this scope".to_owned())?;
        }
        for (index, manifest) in request.dataset_manifest_refs.iter().enumerate() {
            let pointer = format!("/dataset_manifest_refs/{index}");
            narrow(&|rule| rule.lets_read(manifest), &pointer, &|| {
                format!("the manifest {} in this scope", shown(manifest))
            })?;
        }
        for (kind, pointer, profile) in [
            (ProfileKind::Training, "/training_config_ref", &request.training_config_ref),
            (ProfileKind::Governance, "/governance_profile_ref", &request.governance_profile_ref),
        ] {
            let rule = || format!("the {} {} in this scope", kind.as_str(), shown(profile));
            narrow(&|rule| rule.lets_use(kind, profile, None), pointer, &rule)?;
        }
        Ok(left)
    }
}

/// Puts a reference in quotes and cuts it to 200 characters.
pub(super) fn shown(reference: &Reference) -> String {
    const CAP: usize = 200;
    let text = reference.as_str();
    match text.char_indices().nth(CAP) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
