//! Metrics of the scores as probabilities.

use super::Metric;

const EMPTY: &str = "the test window holds no rows";

/// Mean of `-ln p(label)`, with p kept inside `[eps, 1 - eps]`, eps being that of f64 (scikit-learn).
pub(super) fn log_loss(scores: &[f64], labels: &[bool]) -> Metric {
    if scores.is_empty() {
        return Metric::undefined(EMPTY);
    }
    let loss = |(&score, &label): (&f64, &bool)| {
        let p = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        if label { -p.ln() } else { -(1.0 - p).ln() }
    };
    Metric::defined(scores.iter().zip(labels).map(loss).sum::<f64>() / scores.len() as f64)
}

/// Mean squared distance from the label.
pub(super) fn brier_score(scores: &[f64], labels: &[bool]) -> Metric {
    if scores.is_empty() {
        return Metric::undefined(EMPTY);
    }
    let square = |(&score, &label): (&f64, &bool)| {
        let distance = score - f64::from(u8::from(label));
        distance * distance
    };
    Metric::defined(scores.iter().zip(labels).map(square).sum::<f64>() / scores.len() as f64)
}
