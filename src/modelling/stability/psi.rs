//! The population stability index: how far a distribution has moved from a reference.
//!
//! Formula: Lewis, "An Introduction to Credit Scoring", 1994; Yurdakul and Naranjo, "Statistical Properties of the
//! Population Stability Index", 2020. It equals the symmetric divergence J of Kullback and Leibler, 1951.

/// The least share that a bin counts with. Without a least share, a bin that is empty in one window would make the index
/// infinite.
const LEAST_SHARE: f64 = 0.000_1;

/// Returns the sum over the bins of (b − a) ln(b / a), where a and b are the shares of the reference's rows and of the
/// other rows in the bin, each at least [`LEAST_SHARE`]. `None` if one side has no rows.
pub(super) fn psi(reference: &[u64], other: &[u64]) -> Option<f64> {
    contributions(reference, other).map(|of_bins| of_bins.iter().sum())
}

/// Returns what each bin adds to the index. `None` if one side has no rows.
pub(super) fn contributions(reference: &[u64], other: &[u64]) -> Option<Vec<f64>> {
    let (all, others) = (reference.iter().sum::<u64>(), other.iter().sum::<u64>());
    let share = |rows: u64, of: u64| (rows as f64 / of as f64).max(LEAST_SHARE);
    let of_bin = |(reference, other): (&u64, &u64)| {
        let (a, b) = (share(*reference, all), share(*other, others));
        (b - a) * (b / a).ln()
    };
    (all > 0 && others > 0).then(|| reference.iter().zip(other).map(of_bin).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_that_of_the_formula_and_the_same_both_ways() {
        let found = psi(&[50, 50], &[75, 25]).unwrap();
        assert!((found - (0.25 * 1.5_f64.ln() - 0.25 * 0.5_f64.ln())).abs() < 1e-15, "{found}");
        assert!((found - psi(&[75, 25], &[50, 50]).unwrap()).abs() < 1e-15);
        assert_eq!(psi(&[5, 10, 15], &[1, 2, 3]), Some(0.0), "the same shares");
    }

    #[test]
    fn an_empty_bin_counts_with_the_least_share_and_no_rows_give_no_index() {
        let found = psi(&[100, 0], &[50, 50]).unwrap();
        let by_hand = (0.5 - 1.0) * 0.5_f64.ln() + (0.5 - 0.0001) * (0.5_f64 / 0.0001).ln();
        assert!((found - by_hand).abs() < 1e-12, "{found}");
        assert_eq!(psi(&[10, 0], &[20, 0]), Some(0.0), "a bin that is empty in both adds nothing");
        assert_eq!(psi(&[0, 0], &[1, 2]), None);
        assert_eq!(psi(&[1, 2], &[0, 0]), None);
    }
}
