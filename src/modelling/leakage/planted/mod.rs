//! Plants leaks in clean rows, one at a time, and says which rules find each. `docs/leakage.md` shows the same table.

mod world;

use chrono::{DateTime, TimeDelta};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::fmt::Write as _;
use world::{DAY, HOUR, PlantedRow, START, TEST, World, example, extend_test, move_first, windows};

/// A number from 0 to 1 that has nothing to do with a payment but its id.
fn noise(payment: &PlantedRow) -> f32 {
    ChaCha8Rng::seed_from_u64(payment.id as u64).random()
}

fn flag(is_set: bool) -> f32 {
    f32::from(u8::from(is_set))
}

/// Moves a payment of the test window three weeks back, into the train window.
fn back(payment: &mut PlantedRow) {
    for time in [&mut payment.at, &mut payment.computed, &mut payment.observed] {
        *time -= 21 * DAY;
    }
}

struct Planting {
    leak: &'static str,
    plant: fn(&mut World),
    /// The rules that find it, or why none can.
    found: Result<&'static [&'static str], &'static str>,
}

const COPY: &str = "feature_copies_role_column";
const ALONE: &str = "single_feature_separates";
const APART: &str = "feature_separates_windows";

const PLANTINGS: &[Planting] = &[
    Planting {
        leak: "A payment from after the label as-of",
        plant: |world| {
            let asof = world.plan.label_basis.label_asof_utc;
            extend_test(world, asof + TimeDelta::days(1));
            move_first(world, asof.timestamp_micros() + 1);
        },
        found: Ok(&["event_after_label_asof", "immature_label"]),
    },
    Planting {
        leak: "A payment whose label is not settled at the as-of",
        plant: |world| {
            let mature = world.plan.label_basis.label_asof_utc - TimeDelta::days(7);
            extend_test(world, mature + TimeDelta::days(1));
            move_first(world, mature.timestamp_micros() + 1);
        },
        found: Ok(&["immature_label"]),
    },
    Planting {
        leak: "A label that was observed after the as-of",
        plant: |world| world.first_of_test().observed = world.plan.label_basis.label_asof_utc.timestamp_micros() + 1,
        found: Ok(&["label_observed_after_asof"]),
    },
    Planting {
        leak: "Features that were computed after the payment",
        plant: |world| world.first_of_test().computed += HOUR,
        found: Ok(&["feature_time_after_event"]),
    },
    Planting {
        leak: "A train window that reaches into the delay before the test window",
        plant: |world| windows(world).train.end += TimeDelta::days(1),
        found: Ok(&["train_not_before_test", "label_observed_after_test_start"]),
    },
    Planting {
        leak: "A learned label that became known only when the test window had started",
        plant: |world| world.payments[7].observed = TEST + HOUR,
        found: Ok(&["label_observed_after_test_start"]),
    },
    Planting {
        leak: "A champion that learned from the test window",
        plant: |world| {
            let mut champion = example().champion.unwrap();
            champion.bundle.learned_before = DateTime::from_timestamp_micros(TEST + DAY);
            world.plan.champion = Some(champion);
        },
        found: Ok(&["champion_learned_from_test"]),
    },
    Planting {
        leak: "The same row in two files",
        plant: |world| {
            let mut again = world.payments[7].clone();
            again.values[0] += 1.0;
            again.values[3] += 1.0;
            world.payments.push(again);
        },
        found: Ok(&["row_used_twice"]),
    },
    Planting {
        leak: "A payment of the train window, delivered again in the test window under another id and time",
        plant: |world| {
            let again = world.payments[7].clone();
            let at = again.at + 21 * DAY;
            world.payments.push(PlantedRow { id: 1_000_000, at, computed: at, observed: at + 7 * DAY, ..again });
        },
        found: Ok(&["same_content_in_two_windows"]),
    },
    Planting {
        leak: "Each fraud of the test window twice, under another id and a later time",
        plant: |world| world.copy_frauds(|_| {}),
        found: Ok(&["row_repeated_in_test"]),
    },
    Planting {
        leak: "Each fraud of the test window twice at the same time, where the profile allows repeated content",
        plant: |world| {
            world.plan.leakage.allow_repeated_content = true;
            world.copy_frauds(|payment| payment.at -= 1);
        },
        found: Ok(&["row_repeated_in_test"]),
    },
    Planting {
        leak: "Each fraud of the test window again in the train window, with another amount",
        plant: |world| {
            world.copy_frauds(|payment| {
                back(payment);
                payment.values[0] += 0.01;
            });
        },
        found: Ok(&["near_copy_in_two_windows"]),
    },
    Planting {
        leak: "Each fraud of the test window again in the train window, on another card",
        plant: |world| {
            world.copy_frauds(|payment| {
                back(payment);
                payment.card += 1;
            });
        },
        found: Ok(&["near_copy_in_two_windows"]),
    },
    Planting {
        leak: "Each fraud of the test window again in the train window, with two other values",
        plant: |world| {
            world.copy_frauds(|payment| {
                back(payment);
                payment.values[0] += 0.01;
                payment.values[3] += 0.01;
            });
        },
        found: Err("two payments of one customer at one terminal look like that"),
    },
    Planting {
        leak: "A card of the train window in the test window, where the profile forbids it",
        plant: |world| world.plan.leakage.disjoint_entities = vec!["card".to_owned()],
        found: Ok(&["entity_on_both_sides:card"]),
    },
    Planting {
        leak: "The frauds of the test window all on cards that had a fraud in the train window",
        plant: |world| world.each(|payment| payment.card = if payment.fraud { 1_000 } else { payment.card }),
        found: Err("cards are defrauded again in life, too; `exclude_known_entity` and `disjoint_entities` are for it"),
    },
    Planting {
        leak: "An id column as a feature",
        plant: |world| {
            world.feature(|payment| payment.card as f32);
            world.plan.features[6].name = "card".to_owned();
        },
        found: Ok(&["role_column_among_features"]),
    },
    Planting {
        leak: "The label under another name",
        plant: |world| world.feature(|payment| flag(payment.fraud)),
        found: Ok(&[COPY, ALONE]),
    },
    Planting {
        leak: "The label as a text that only frauds have",
        plant: |world| world.each(|payment| payment.values[5] = if payment.fraud { 3.0 } else { f32::NAN }),
        found: Ok(&[COPY, ALONE]),
    },
    Planting {
        leak: "The label, wrong in one row of fifty",
        plant: |world| world.feature(|payment| flag(payment.fraud != (noise(payment) < 0.02))),
        found: Ok(&[ALONE]),
    },
    Planting {
        leak: "The label plus noise of the same size",
        plant: |world| world.feature(|payment| flag(payment.fraud) + noise(payment)),
        found: Ok(&[ALONE]),
    },
    Planting {
        leak: "A value that only investigated payments have: missing unless fraud",
        plant: |world| world.feature(|payment| if payment.fraud { noise(payment) } else { f32::NAN }),
        found: Ok(&[ALONE]),
    },
    Planting {
        leak: "The day on which a fraud was reported, missing for good payments",
        plant: |world| {
            world.feature(
                |payment| {
                    if payment.fraud { (payment.observed - START).div_euclid(DAY) as f32 } else { f32::NAN }
                },
            );
        },
        found: Ok(&[COPY, ALONE, APART]),
    },
    Planting {
        leak: "The time of the label in days since 1970, for every payment",
        plant: |world| world.feature(|payment| (payment.observed as f64 / DAY as f64) as f32),
        found: Ok(&[COPY, APART]),
    },
    Planting {
        leak: "The row id",
        plant: |world| world.feature(|payment| payment.id as f32),
        found: Ok(&[COPY, APART]),
    },
    Planting {
        leak: "The event time in seconds since 1970, as a 32-bit float",
        plant: |world| world.feature(|payment| (payment.at / 1_000_000) as f32),
        found: Ok(&[COPY, APART]),
    },
    Planting {
        leak: "The number of days until the end of the data, whole",
        plant: |world| world.feature(|payment| ((START + 28 * DAY - payment.at) / DAY) as f32),
        found: Ok(&[COPY, APART]),
    },
    Planting {
        leak: "The event time plus a day of noise",
        plant: |world| world.feature(|payment| (payment.at - START) as f32 / DAY as f32 + noise(payment)),
        found: Ok(&[APART]),
    },
    Planting {
        leak: "A flag that a migration set between the windows",
        plant: |world| world.feature(|payment| flag(payment.at >= START + 17 * DAY)),
        found: Ok(&[APART]),
    },
    Planting {
        leak: "A count of 30 days that the data begins with, so that it still fills up",
        plant: |world| world.feature(|payment| ((payment.at - START) / DAY) as f32 + 6.0 * noise(payment)),
        found: Ok(&[APART]),
    },
    Planting {
        leak: "The date as a category",
        plant: |world| world.category(28, |payment| ((payment.at - START) / DAY) as u32),
        found: Ok(&[COPY]),
    },
    Planting {
        leak: "The card's number under another name",
        plant: |world| world.feature(|payment| (payment.card * 7919 % 10_007) as f32),
        found: Ok(&[COPY]),
    },
    Planting {
        leak: "The terminal as a category under another name",
        plant: |world| world.category(300, |payment| payment.terminal * 7 % 300),
        found: Ok(&[COPY]),
    },
    Planting {
        leak: "The share of frauds of the payment's terminal, over all data and with this payment",
        plant: |world| {
            let mut of_terminal = vec![(0.0, 0.0); 300];
            for payment in &world.payments {
                let (frauds, all): &mut (f32, f32) = &mut of_terminal[payment.terminal as usize];
                (*frauds, *all) = (*frauds + flag(payment.fraud), *all + 1.0);
            }
            world
                .feature(|payment| of_terminal[payment.terminal as usize].0 / of_terminal[payment.terminal as usize].1);
        },
        found: Err("it looks like an honest risk; `feature_time` tells, if it is true"),
    },
    Planting {
        leak: "A count over the hour after the payment",
        plant: |world| world.feature(|payment| (noise(payment) * 5.0 + 2.0 * flag(payment.fraud)).floor()),
        found: Err("it looks like a count over the hour before; `feature_time` tells, if it is true"),
    },
    Planting {
        leak: "Two features that are the label only together",
        plant: |world| {
            world.feature(|payment| flag(noise(payment) < 0.5));
            world.feature(|payment| flag((noise(payment) < 0.5) != payment.fraud));
            world.plan.features[7].name = "planted, too".to_owned();
        },
        found: Err("each is worthless alone, and all pairs are too many; `max_auc_roc` in the gate refuses the model"),
    },
    Planting {
        leak: "An amount that is scaled by the mean of all windows",
        plant: |world| {
            let mean =
                world.payments.iter().map(|payment| payment.values[0]).sum::<f32>() / world.payments.len() as f32;
            world.each(|payment| payment.values[0] /= mean);
        },
        found: Err("it ranks payments as the amount does; a model of trees gains nothing by it"),
    },
    Planting {
        leak: "Frauds that were hard to find, left out of the data",
        plant: |world| world.payments.retain(|payment| !payment.fraud || payment.values[3] > 50.0),
        found: Err("rows that are not there break no rule; the fraud rate in the report may tell"),
    },
];

#[test]
fn clean_rows_break_no_rule() {
    assert_eq!(World::clean().broken(), [""; 0]);
}

/// Each of these looks like a leak by one half of a rule.
#[test]
fn honest_features_break_no_rule() {
    let mut world = World::clean();
    let of_card = |payment: &PlantedRow| noise(&PlantedRow { id: i64::from(payment.card), ..payment.clone() });
    let mut paid = [0.0; 400];
    let mut add = |name: &str, value: &mut dyn FnMut(&PlantedRow) -> f32| {
        world.feature(value);
        world.plan.features.last_mut().unwrap().name = name.to_owned();
    };
    add("place of the card's owner on a map, one for each card", &mut |payment| of_card(payment));
    add("day of the card's first payment, for many cards the same", &mut |payment| (of_card(payment) * 90.0).floor());
    add("age of the card in days", &mut |payment| {
        (of_card(payment) * 900.0).floor() + ((payment.at - START) / DAY) as f32
    });
    add("number of the card's payments since it was issued", &mut |payment| {
        paid[payment.card as usize] += 1.0;
        (of_card(payment) * 400.0).floor() + paid[payment.card as usize]
    });
    add("hours since midnight, exactly", &mut |payment| (payment.at % DAY) as f32 / HOUR as f32);
    add("set or missing", &mut |payment| if noise(payment) < 0.1 { 1.0 } else { f32::NAN });
    add("one value", &mut |_| 7.0);
    add("missing in the test window", &mut |payment| if payment.at < TEST { noise(payment) } else { f32::NAN });
    assert_eq!(world.broken(), [""; 0]);
}

#[test]
fn every_planted_leak_is_found_by_the_rules_of_the_table_or_by_none() {
    let mut wrong = String::new();
    for Planting { leak, plant, found } in PLANTINGS {
        let mut world = World::clean();
        plant(&mut world);
        let (broken, expected) = (world.broken(), found.unwrap_or_default());
        if broken != expected {
            writeln!(wrong, "{leak}: {broken:?}, and not {expected:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_documentation_has_the_table() {
    let mut table = "| leak | found by | or not found, because |\n|---|---|---|\n".to_owned();
    for Planting { leak, found, .. } in PLANTINGS {
        let (rules, why) = match found {
            Ok(rules) => (rules.iter().map(|rule| format!("`{rule}`")).collect::<Vec<_>>().join(", "), ""),
            Err(why) => (String::new(), *why),
        };
        writeln!(table, "| {leak} | {rules} | {why} |").unwrap();
    }
    let document = include_str!("../../../../docs/leakage.md");
    assert!(document.contains(&format!("\n\n{table}\n")), "docs/leakage.md has another table:\n{table}");
}
