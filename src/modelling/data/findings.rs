//! Finds features whose values deserve a look: they say nothing, or not what the file says.

use super::split::Assignment;
use super::table::Table;
use crate::domain::contract::{Feature, FeatureFinding, FindingKind};

/// Returns the findings in the order of `features`. A window without rows has none.
pub fn feature_findings(table: &Table, assignment: &Assignment, features: &[Feature]) -> Vec<FeatureFinding> {
    let windows = [
        (FindingKind::MissingInTrain, &assignment.train),
        (FindingKind::MissingInValidation, &assignment.validation),
        (FindingKind::MissingInTest, &assignment.test),
    ];
    let windows: Vec<_> = windows.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    let mut findings = Vec::new();
    for (index, feature) in features.iter().enumerate() {
        let mut add = |finding, rows: u64| {
            findings.push(FeatureFinding { feature: feature.name.clone(), finding, rows });
        };
        let value = |row: &usize| table.features.value(*row, index);
        let missing: Vec<_> = windows.iter().filter(|(_, rows)| rows.iter().all(|row| value(row).is_nan())).collect();
        if missing.len() == windows.len() {
            add(FindingKind::AllMissing, windows.iter().map(|(_, rows)| rows.len() as u64).sum());
        } else {
            for (finding, rows) in missing {
                add(*finding, rows.len() as u64);
            }
        }
        // Where a value is missing, the model can still tell rows apart by that.
        if let Some(first) = assignment.train.first().map(value).filter(|first| !first.is_nan())
            && assignment.train.iter().all(|row| value(row).to_bits() == first.to_bits())
        {
            add(FindingKind::Constant, assignment.train.len() as u64);
        }
        if table.features.rounded(index) > 0 {
            add(FindingKind::Rounded, table.features.rounded(index));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::table::Features;
    use super::*;
    use crate::domain::contract::FeatureKind;

    const GAP: f32 = f32::NAN;

    #[test]
    fn what_says_nothing_is_found_and_what_says_little_is_not() {
        let columns: [(&str, [f32; 6]); 8] = [
            ("plain", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ("never", [GAP; 6]),
            ("never learned", [GAP, GAP, GAP, 1.0, 2.0, 3.0]),
            ("never tuned", [1.0, 2.0, 3.0, GAP, 2.0, 3.0]),
            ("never measured", [1.0, 2.0, 3.0, 4.0, GAP, GAP]),
            ("flag or nothing", [1.0, GAP, 1.0, 1.0, GAP, 1.0]),
            ("one value", [7.0, 7.0, 7.0, 7.0, 7.0, 8.0]),
            ("big", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ];
        let values = (0..6).flat_map(|row| columns.iter().map(move |(_, column)| column[row])).collect();
        let mut rounded = vec![0; 8];
        rounded[7] = 4;
        let features = Features::new(8, values, vec![None; 8]).with_rounded(rounded);
        let named =
            |(name, _): &(&str, _)| Feature { name: (*name).to_owned(), kind: FeatureKind::Numeric, monotone: None };
        let features_of: Vec<Feature> = columns.iter().map(named).collect();
        let table = Table::of_good(6, features);
        let windows =
            Assignment { train: vec![0, 1, 2], validation: vec![3], test: vec![4, 5], ..Assignment::default() };
        let found = |assignment: &Assignment| -> Vec<(String, FindingKind, u64)> {
            let found = feature_findings(&table, assignment, &features_of);
            found.into_iter().map(|of| (of.feature, of.finding, of.rows)).collect()
        };
        let expected = |list: &[(&str, FindingKind, u64)]| -> Vec<(String, FindingKind, u64)> {
            list.iter().map(|(name, finding, rows)| ((*name).to_owned(), *finding, *rows)).collect()
        };
        let all = [
            ("never", FindingKind::AllMissing, 6),
            ("never learned", FindingKind::MissingInTrain, 3),
            ("never tuned", FindingKind::MissingInValidation, 1),
            ("never measured", FindingKind::MissingInTest, 2),
            ("one value", FindingKind::Constant, 3),
            ("big", FindingKind::Rounded, 4),
        ];
        assert_eq!(found(&windows), expected(&all));
        let only_test = Assignment { test: vec![4], ..Assignment::default() };
        let all = [
            ("never", FindingKind::AllMissing, 1),
            ("never measured", FindingKind::AllMissing, 1),
            ("flag or nothing", FindingKind::AllMissing, 1),
            ("big", FindingKind::Rounded, 4),
        ];
        assert_eq!(found(&only_test), expected(&all));
    }
}
