//! What a requester may ask for: rules over scopes, tenants, intents and the right to publish.

use super::contract::{IntentKind, TargetScope, TrainBuildRequest};
use serde::Deserialize;
use std::sync::Arc;

/// What the policy allows one requester. Clones share the rules.
#[derive(Debug, Clone)]
pub struct Grant {
    rules: Arc<[Rule]>,
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

impl Grant {
    pub fn new(rules: Vec<Rule>, quota: Quota) -> Self {
        Self { rules: rules.into(), quota }
    }

    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Returns whether a command may change a run of this scope. `publishes` says that the command announces the bundle
    /// again.
    pub fn covers(&self, scope: &TargetScope, publishes: bool) -> bool {
        self.rules.iter().any(|rule| rule.covers(scope) && rule.covers_tenant(scope) && (rule.publish || !publishes))
    }

    /// Checks that one rule allows the whole request. If none does, returns the first obstacle, in the order intent,
    /// scope, tenant, publication. The error is a JSON pointer into the message, and the broken rule in words.
    pub fn check(&self, request: &TrainBuildRequest) -> Result<(), (&'static str, String)> {
        let scope = &request.target_scope;
        let mut left: Vec<&Rule> = self.rules.iter().collect();
        let mut narrow = |keeps: &dyn Fn(&Rule) -> bool, pointer, rule: String| {
            left.retain(|rule| keeps(rule));
            if left.is_empty() { Err((pointer, rule)) } else { Ok(()) }
        };
        let intent = request.intent_kind;
        narrow(&|rule| rule.intents.contains(&intent), "/intent_kind", format!("the intent {}", intent.as_str()))?;
        let path = format!("{}/{}/{}", scope.environment, scope.mode, scope.bundle_slot);
        narrow(&|rule| rule.covers(scope), "/target_scope", format!("the scope {path} with this intent"))?;
        let tenant = match &scope.tenant_id {
            Some(tenant) => ("/target_scope/tenant_id", format!("the tenant {tenant} in this scope")),
            None => ("/target_scope", "this scope without a tenant".to_owned()),
        };
        narrow(&|rule| rule.covers_tenant(scope), tenant.0, tenant.1)?;
        if request.publish_allowed {
            narrow(&|rule| rule.publish, "/publish_allowed", "publication in this scope".to_owned())?;
        }
        Ok(())
    }
}
