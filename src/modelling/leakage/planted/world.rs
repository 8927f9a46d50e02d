//! A small world of clean payments, in which leaks are planted.

use crate::domain::contract::{
    CategoryValue, Feature, FeatureKind, PlannedSplit, SchemaName, SettledSplit, TrainPlan, Windows, schema_text,
};
use crate::modelling::data::{EntityColumn, Features, RowIds, Table, encode_categories, settle, split};
use crate::modelling::leakage::leakage;
use chrono::{DateTime, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub(super) const HOUR: i64 = 3_600_000_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// 2026-01-01, where the train window starts. It has 14 days. The test window has 7 days from day 21.
pub(super) const START: i64 = 1_767_225_600_000_000;
pub(super) const TEST: i64 = START + 21 * DAY;

#[derive(Clone)]
pub(super) struct PlantedRow {
    pub(super) id: i64,
    pub(super) at: i64,
    pub(super) fraud: bool,
    pub(super) computed: i64,
    pub(super) observed: i64,
    pub(super) card: u32,
    pub(super) terminal: u32,
    pub(super) values: Vec<f32>,
}

pub(super) struct World {
    pub(super) plan: TrainPlan,
    pub(super) payments: Vec<PlantedRow>,
    /// The texts of the categorical feature.
    pub(super) categories: Vec<String>,
}

impl World {
    /// 28 days of payments. Frauds have larger amounts and riskier terminals, as in life.
    pub(super) fn clean() -> Self {
        const PAYMENTS: i64 = 8_000;
        const FEATURES: [&str; 6] = ["amount", "hour", "card_count", "card_average", "terminal_risk", "merchant"];
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let mut draw = || random.random::<f32>();
        let payments = (0..PAYMENTS).map(|id| {
            let at = START + id * 28 * DAY / PAYMENTS;
            let fraud = draw() < 0.03;
            let more = f32::from(u8::from(fraud));
            let values = vec![
                ((1.0 + more) * draw() * 10_000.0).round() / 100.0,
                (at / HOUR % 24) as f32,
                (draw() * 40.0).floor(),
                draw() * 100.0,
                draw() + more * draw() / 2.0,
                (draw() * 6.0).floor(),
            ];
            let (card, terminal) = ((draw() * 400.0) as u32, (draw() * 300.0) as u32);
            PlantedRow { id, at, fraud, computed: at - 1, observed: at + 7 * DAY, card, terminal, values }
        });
        let payments = payments.collect();
        let mut plan = example();
        plan.champion = None;
        plan.columns.label_observed_time = Some("label_observed_time".to_owned());
        plan.columns.feature_time = Some("feature_time".to_owned());
        plan.columns.entities = vec!["card".to_owned(), "terminal".to_owned()];
        plan.columns.weight = None;
        plan.leakage = serde_json::from_value(serde_json::json!({
            "max_single_feature_auc": 0.95, "max_window_auc": 0.99
        }))
        .unwrap();
        plan.features = FEATURES.map(numeric).to_vec();
        plan.features[5].kind = FeatureKind::Categorical;
        Self { plan, payments, categories: (0..6).map(|code| format!("kind {code:03}")).collect() }
    }

    /// The rules that are violated, in the order of the report.
    pub(super) fn broken(&self) -> Vec<String> {
        let each = |time: fn(&PlantedRow) -> i64| Some(self.payments.iter().map(time).collect());
        let entity = |name: &str, id: fn(&PlantedRow) -> u32| EntityColumn {
            name: name.to_owned(),
            ids: self.payments.iter().map(id).collect(),
        };
        let width = self.plan.features.len();
        let mut vocabularies = vec![None; width];
        vocabularies[5] = Some(self.categories.iter().cloned().map(CategoryValue::Text).collect());
        let values = self.payments.iter().flat_map(|payment| payment.values.iter().copied()).collect();
        let mut table = Table {
            event_time: each(|payment| payment.at),
            label: self.payments.iter().map(|payment| payment.fraud).collect(),
            row_id: RowIds::Numbers(self.payments.iter().map(|payment| payment.id).collect()),
            label_observed_time: each(|payment| payment.observed),
            feature_time: each(|payment| payment.computed),
            weight: None,
            entities: vec![entity("card", |payment| payment.card), entity("terminal", |payment| payment.terminal)],
            amount: None,
            features: Features::new(width, values, vocabularies),
        };
        let settled: SettledSplit = settle(&self.plan.split, &table).unwrap();
        let assignment = split(&table, &settled, 0);
        encode_categories(&mut table, &assignment.train, &self.plan.features, 1_000).unwrap();
        let report = leakage(&table, &assignment, &settled, &self.plan);
        report.rules.into_iter().filter(|rule| rule.violations > 0).map(|rule| rule.rule).collect()
    }

    pub(super) fn each(&mut self, mut change: impl FnMut(&mut PlantedRow)) {
        self.payments.iter_mut().for_each(&mut change);
    }

    /// Adds a numeric feature.
    pub(super) fn feature(&mut self, mut value: impl FnMut(&PlantedRow) -> f32) {
        self.plan.features.push(numeric("planted"));
        self.each(|payment| payment.values.push(value(payment)));
    }

    /// Gives the categorical feature other values, numbered from 0.
    pub(super) fn category(&mut self, count: usize, mut value: impl FnMut(&PlantedRow) -> u32) {
        self.categories = (0..count).map(|code| format!("kind {code:03}")).collect();
        self.each(|payment| payment.values[5] = value(payment) as f32);
    }

    /// Adds copies of the frauds of the test window, with ids of their own.
    pub(super) fn copy_frauds(&mut self, mut change: impl FnMut(&mut PlantedRow)) {
        let is_copied = |payment: &&PlantedRow| payment.fraud && payment.at >= TEST;
        let mut copies: Vec<PlantedRow> = self.payments.iter().filter(is_copied).cloned().collect();
        assert!(copies.len() > 40, "{}", copies.len());
        for (payment, id) in copies.iter_mut().zip(1_000_000..) {
            (payment.id, payment.at, payment.computed) = (id, payment.at + 1, payment.at);
            change(payment);
        }
        self.payments.extend(copies);
    }

    pub(super) fn first_of_test(&mut self) -> &mut PlantedRow {
        self.payments.iter_mut().find(|payment| payment.at >= TEST).unwrap()
    }
}

pub(super) fn example() -> TrainPlan {
    let schema: serde_json::Value = serde_json::from_str(schema_text(SchemaName::ResolvedTrainPlan)).unwrap();
    serde_json::from_value(schema["examples"][0].clone()).unwrap()
}

pub(super) fn numeric(name: &str) -> Feature {
    Feature { name: name.to_owned(), kind: FeatureKind::Numeric, monotone: None }
}

pub(super) fn windows(world: &mut World) -> &mut Windows {
    match &mut world.plan.split {
        PlannedSplit::TimeBased(windows) => windows,
        other => panic!("{other:?}"),
    }
}

pub(super) fn extend_test(world: &mut World, end: DateTime<Utc>) {
    windows(world).test.end = end;
}

/// Gives the first payment of the test window another time. Its label is observed in time.
pub(super) fn move_first(world: &mut World, at: i64) {
    let observed = world.plan.label_basis.label_asof_utc.timestamp_micros();
    let payment = world.first_of_test();
    (payment.at, payment.computed, payment.observed) = (at, at, observed);
}
