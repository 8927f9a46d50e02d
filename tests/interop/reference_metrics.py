"""Metrics and curves of scores and labels by scikit-learn, SciPy and NumPy; null where they are undefined.

scikit-learn takes weights; where it does not, a row of weight 3 is there three times.
"""

import math

import numpy as np
from scipy.stats import ks_2samp
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score, brier_score_loss, confusion_matrix, f1_score, log_loss, precision_recall_curve,
    precision_score, recall_score, roc_auc_score, roc_curve,
)

RATES = (0.01, 0.1, 0.5)
THRESHOLDS = (0.25, 0.5)
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 40

# The evaluation that the binary runs: it thins no curve, so that the numbers can be compared one by one.
EVALUATION = {
    "k": [5], "fpr": list(RATES), "thresholds": list(THRESHOLDS), "calibration_bins": CALIBRATION_BINS,
    "histogram_bins": HISTOGRAM_BINS, "curve_points": 1000,
}


def _number(value):
    return None if math.isnan(value) else float(value)


def _scores(scores, labels, weights):
    both = 0 < labels.sum() < len(labels)
    by = {"sample_weight": weights}
    many, of_many = np.repeat(scores, weights), np.repeat(labels, weights)
    found = {
        "auc_roc": roc_auc_score(labels, scores, **by) if both else None,
        "average_precision": average_precision_score(labels, scores, **by) if labels.any() else None,
        "log_loss": log_loss(labels, scores, labels=[False, True], **by),
        "brier_score": brier_score_loss(labels, scores, pos_label=True, **by),
        "ks_statistic": float(ks_2samp(many[of_many], many[~of_many]).statistic) if both else None,
        "expected_calibration_error": _calibration_error(many, of_many),
    }
    for rate in RATES:
        found[f"recall_at_fpr_{rate}"] = None
        if both:
            alarms, recall, _ = roc_curve(labels, scores, drop_intermediate=False, **by)
            found[f"recall_at_fpr_{rate}"] = float(recall[alarms <= rate].max())
    for threshold in THRESHOLDS:
        flagged, nan = scores >= threshold, {"pos_label": True, "zero_division": np.nan, **by}
        found[f"precision_at_threshold_{threshold}"] = _number(precision_score(labels, flagged, **nan))
        found[f"recall_at_threshold_{threshold}"] = _number(recall_score(labels, flagged, **nan))
        found[f"f1_at_threshold_{threshold}"] = _number(f1_score(labels, flagged, **nan))
        found[f"fpr_at_threshold_{threshold}"] = _number(recall_score(~labels, flagged, **nan))
    return found


def _bins(scores):
    """The bin of each row as in calibration_curve, which drops empty bins without saying which."""
    return np.searchsorted(np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1], scores)


def _calibration(scores, labels):
    rates, means = calibration_curve(labels, scores, pos_label=True, n_bins=CALIBRATION_BINS, strategy="uniform")
    return list(zip(means.tolist(), rates.tolist()))


def _calibration_error(scores, labels):
    rows = np.unique(_bins(scores), return_counts=True)[1]
    distances = [abs(mean - rate) for mean, rate in _calibration(scores, labels)]
    return float(np.average(distances, weights=rows))


def _curves(scores, labels, weights):
    by = {"sample_weight": weights}
    many, of_many = np.repeat(scores, weights), np.repeat(labels, weights)
    found = {"roc": [], "precision_recall": [], "calibration": _calibration(many, of_many)}
    if 0 < labels.sum() < len(labels):
        alarms, recall, _ = roc_curve(labels, scores, drop_intermediate=False, **by)
        found["roc"] = list(zip(alarms.tolist(), recall.tolist()))
    if labels.any():
        precision, recall, _ = precision_recall_curve(labels, scores, **by)
        found["precision_recall"] = list(zip(recall[::-1].tolist(), precision[::-1].tolist()))
    histogram = [np.histogram(many[of], bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0] for of in (of_many, ~of_many)]
    found["score_histogram"] = list(zip(*(counts.tolist() for counts in histogram)))
    return found


def _confusion(scores, labels, weights):
    counts = []
    for threshold in THRESHOLDS:
        flagged = scores >= threshold
        (tn, fp), (fn, tp) = confusion_matrix(labels, flagged, labels=[False, True], sample_weight=weights).tolist()
        counts.append({
            "threshold": threshold, "true_positives": tp, "false_positives": fp, "true_negatives": tn,
            "false_negatives": fn,
        })
    return counts


def expected(scores, labels, weights=None):
    """`weights` are whole numbers."""
    scores, labels = np.asarray(scores, dtype="float64"), np.asarray(labels, dtype=bool)
    weights = np.ones(len(scores), dtype=int) if weights is None else np.asarray(weights)
    return {
        "expected": _scores(scores, labels, weights),
        "confusion": _confusion(scores, labels, weights),
        "curves": _curves(scores, labels, weights),
    }
