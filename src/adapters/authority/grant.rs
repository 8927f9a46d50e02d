//! What a requester may ask for, as rules over scopes, tenants, intents and the right to publish.

use crate::domain::contract::{IntentKind, TargetScope, TrainBuildRequest};
use serde::Deserialize;
use std::sync::Arc;

/// What the policy gives to one requester.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) may: Arc<[Rule]>,
    pub(super) quota: Quota,
}

/// How many new runs one requester may have; no bound where it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Queued or worked on at one time.
    pub in_flight: Option<u32>,
    /// Admitted within 24 hours.
    pub per_day: Option<u32>,
}

/// Requests that are allowed.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) intents: Vec<IntentKind>,
    /// Parts of `environment/mode/bundle_slot`, the first of them at least; `*` is any.
    pub(super) scopes: Vec<Vec<String>>,
    pub(super) tenants: Tenants,
    pub(super) publish: bool,
}

/// Whose bundles.
#[derive(Debug, Clone)]
pub(super) enum Tenants {
    /// Only those of no tenant.
    None,
    /// Only those of these tenants.
    These(Vec<String>),
    /// Everybody's.
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

/// A rule that is broken: pointer into the message, and the rule for people.
pub(super) type Broken = (&'static str, String);

impl Grant {
    /// The quota of whoever has this grant.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether a command may touch a run of this scope; `publishes` where it announces the run's bundle.
    pub fn covers(&self, scope: &TargetScope, publishes: bool) -> bool {
        self.may.iter().any(|rule| rule.covers(scope) && rule.covers_tenant(scope) && (rule.publish || !publishes))
    }

    /// The first rule that no entry keeps, in the order intent, scope, tenant, publication.
    pub(super) fn check(&self, request: &TrainBuildRequest) -> Result<(), Broken> {
        let scope = &request.target_scope;
        let mut left: Vec<&Rule> = self.may.iter().collect();
        let mut narrow = |keeps: &dyn Fn(&Rule) -> bool, pointer, rule: String| {
            left.retain(|rule| keeps(rule));
            if left.is_empty() { Err((pointer, rule)) } else { Ok(()) }
        };
        let intent = request.intent_kind;
        narrow(&|rule| rule.intents.contains(&intent), "/intent_kind", format!("the intent {}", intent.as_str()))?;
        let place = format!("{}/{}/{}", scope.environment, scope.mode, scope.bundle_slot);
        narrow(&|rule| rule.covers(scope), "/target_scope", format!("the scope {place} with this intent"))?;
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
