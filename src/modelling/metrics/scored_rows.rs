//! The test window with the scores of one model.

/// Scores of the test window with what is needed to judge them; all slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct ScoredRows<'a> {
    /// Probability of fraud, 0 to 1.
    pub scores: &'a [f64],
    /// Whether a payment is fraud.
    pub labels: &'a [bool],
    /// UTC day of the payment since 1970, for metrics per day.
    pub days: &'a [i64],
    /// The card (or whatever the first entity column holds) as a number; none without entity columns.
    pub cards: Option<&'a [u32]>,
}
