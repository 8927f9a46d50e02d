//! Lists the leakage rules that a plan does not check, with the reason for each.

use crate::domain::contract::{AucLimit, PlannedSplit, SwitchedOff, TrainPlan, UnaskedRule};

/// Returns every rule that another profile or other data would have had checked. Empty for a plan of a release that had
/// no default for `max_single_feature_auc`: that release's report had no such list.
pub fn unasked_rules(plan: &TrainPlan) -> Vec<UnaskedRule> {
    let (spec, columns) = (&plan.leakage, &plan.columns);
    let Some(single_feature) = &spec.max_single_feature_auc else { return Vec::new() };
    let mut unasked = Vec::new();
    let mut add = |rules: &[&str], because: &str| {
        unasked.extend(rules.iter().map(|rule| UnaskedRule { rule: (*rule).to_owned(), because: because.to_owned() }));
    };
    if columns.event_time.is_none() {
        add(&["event_after_label_asof", "immature_label"], "the manifests name no column event_time");
    }
    if columns.label_observed_time.is_none() {
        add(&["label_observed_after_asof"], "the manifests name no column label_observed_time");
    }
    if columns.feature_time.is_none() || columns.event_time.is_none() {
        add(&["feature_time_after_event"], "the manifests name no column feature_time or none of event_time");
    }
    if matches!(plan.split, PlannedSplit::StratifiedRandom(_)) {
        add(&["train_not_before_test", "label_observed_after_test_start"], "the profile does not split by time");
        if spec.max_window_auc.is_some() {
            add(&["feature_separates_windows"], "the profile does not split by time");
        }
    } else {
        if columns.label_observed_time.is_none() {
            let because = "the manifests name no column label_observed_time; train_not_before_test takes every label for \
                           known delay_days after its event";
            add(&["label_observed_after_test_start"], because);
        }
        if let Some(AucLimit::Off(switched_off)) = &spec.max_window_auc {
            add(&["feature_separates_windows"], &off(switched_off));
        }
    }
    if spec.allow_repeated_content {
        let rules = ["same_content_in_two_windows", "near_copy_in_two_windows"];
        add(&rules, "the profile sets allow_repeated_content");
        if columns.event_time.is_none() {
            let because = "the profile sets allow_repeated_content, and the manifests name no column event_time";
            add(&["row_repeated_in_test"], because);
        }
    }
    if spec.disjoint_entities.is_empty() {
        add(&["entity_on_both_sides"], "the profile names no disjoint_entities");
    }
    if let AucLimit::Off(switched_off) = single_feature {
        add(&["single_feature_separates"], &off(switched_off));
    }
    if spec.shuffled_label_canary.is_none() {
        add(&["shuffled_label_canary"], "the profile sets no shuffled_label_canary");
    }
    unasked
}

fn off(switched_off: &SwitchedOff) -> String {
    format!("the profile switches it off: {}", switched_off.reason)
}
