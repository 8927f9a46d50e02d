"""Confidence intervals by NumPy, SciPy and scikit-learn, written down from the papers that docs/intervals.md names.

What a payment moves in a metric is found by weighing it a little more and a little less, where scikit-learn takes weights.
"""

import numpy as np
from scipy import special, stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

STEP = 1e-3


def by_weight(metric, labels, scores):
    """The first derivatives of a metric by the weight of each row, and half the sum of the second ones."""
    weights, whole = np.ones(len(scores)), metric(labels, scores, sample_weight=np.ones(len(scores)))
    first, second = np.empty(len(scores)), 0.0
    for row in range(len(scores)):
        around = []
        for step in (-STEP, STEP):
            weights[row] = 1 + step
            around.append(metric(labels, scores, sample_weight=weights))
        weights[row] = 1
        first[row] = (around[1] - around[0]) / (2 * STEP)
        second += (around[1] - 2 * whole + around[0]) / STEP**2
    return first, second / 2


def placements(labels, scores):
    """DeLong's placement values, pair by pair."""
    frauds, good = scores[labels], scores[~labels]
    wins = np.heaviside(frauds[:, None] - good[None, :], 0.5)
    first = np.empty(len(scores))
    first[labels] = (wins.mean(axis=1) - wins.mean()) / labels.sum()
    first[~labels] = (wins.mean(axis=0) - wins.mean()) / (~labels).sum()
    return first


def variance(first, labels, clusters):
    """Obuchowski (1997): frauds, good payments and both have factors of their own."""
    fraud = np.bincount(clusters, weights=np.where(labels, first, 0))
    good = np.bincount(clusters, weights=np.where(labels, 0, first))
    have = [len(np.unique(clusters[of])) for of in (labels, ~labels, np.ones(len(labels), dtype=bool))]
    factors = [count / (count - 1) for count in have]
    return factors[0] * (fraud**2).sum() + factors[1] * (good**2).sum() + 2 * factors[2] * (fraud * good).sum()


def quantile(labels, clusters, confidence=0.95):
    frauds = np.bincount(clusters, weights=labels)
    return stats.t.ppf((1 + confidence) / 2, frauds.sum() ** 2 / (frauds**2).sum() - 1)


def half_entity(labels, clusters):
    frauds = np.bincount(clusters, weights=labels)
    return (frauds**2).sum() / frauds.sum() / 2


def log_odds(center, of, t, half, blind, rows):
    """A higher value is better: the lower end counts half an entity more that the model does not see."""
    lower = (rows * center + half * blind) / (rows + half)
    more = of + (half * (blind - lower) / (rows + half)) ** 2
    end = lambda at, by, side: special.expit(special.logit(at) + side * t * np.sqrt(by) / (at * (1 - at)))
    return end(lower, more, -1), end(center, of, 1)


def loss(center, of, t, half, blind, rows):
    upper = (rows * center + half * blind) / (rows + half)
    more = of + (half * (blind - upper) / (rows + half)) ** 2
    return center * np.exp(-t * np.sqrt(of) / center), upper * np.exp(t * np.sqrt(more) / upper)


def wilson(share, of, t, payments):
    n = min(share * (1 - share) / of, payments)
    center, reach = share + t**2 / (2 * n), t * np.sqrt(share * (1 - share) / n + t**2 / (4 * n**2))
    return (center - reach) / (1 + t**2 / n), (center + reach) / (1 + t**2 / n)


def expected(labels, scores, clusters, k, rate, threshold):
    """The intervals of all metrics that have one; scores without ties."""
    labels, scores, clusters = np.asarray(labels), np.asarray(scores), np.asarray(clusters)
    n, frauds = len(scores), labels.sum()
    t, half = quantile(labels, clusters), half_entity(labels, clusters)
    of = lambda first: variance(first, labels, clusters)
    found = {}
    first = placements(labels, scores)
    area = np.heaviside(scores[labels][:, None] - scores[~labels][None, :], 0.5).mean()
    found["auc_roc"] = log_odds(area, of(first), t, half, 0.5, frauds)
    first, bias = by_weight(average_precision_score, labels, scores)
    center = average_precision_score(labels, scores) - bias
    found["average_precision"] = log_odds(center, of(first), t, half, 0.0, frauds)
    for name, metric, of_fraud in (
        ("log_loss", log_loss, -np.log(scores)), ("brier_score", brier_score_loss, (1 - scores) ** 2),
    ):
        first, _ = by_weight(metric, labels, scores)
        found[name] = loss(metric(labels, scores), of(first), t, half, of_fraud[~labels].mean(), n)

    ranked = labels[np.argsort(-scores)]
    top, q = scores >= np.sort(scores)[-k], k / n
    local = ranked[k // 2:k // 2 + k].mean()
    share = labels[top].mean()
    r = min(local, share)
    first = (top * (labels - r) - q * (share - r)) / k
    found[f"precision_at_{k}"] = wilson(share, of(first), t, k)
    recall = labels[top].sum() / frauds
    first = (top * (labels - r) + r * q - recall * labels) / frauds
    found[f"recall_at_{k}"] = wilson(recall, of(first), t, frauds)

    flagged = scores >= threshold
    hits = (flagged & labels).sum()
    share = hits / flagged.sum()
    found[f"precision_at_threshold_{threshold}"] = wilson(share, of(flagged * (labels - share) / flagged.sum()), t, flagged.sum())
    share = hits / frauds
    found[f"recall_at_threshold_{threshold}"] = wilson(share, of(labels * (flagged - share) / frauds), t, frauds)
    both = flagged.sum() + frauds
    share = 2 * hits / both
    first = (2 * (flagged & labels) - share * (flagged.astype(float) + labels)) / both
    found[f"f1_at_threshold_{threshold}"] = wilson(share, of(first), t, both)

    good = np.sort(scores[~labels])[::-1]
    recall_at = lambda rate: (scores[labels] > good[int(np.floor(rate * len(good) + 1e-9))]).mean()
    slope = (recall_at(2 * rate) - recall_at(rate / 2)) / (1.5 * rate)
    border = good[int(np.floor(rate * len(good) + 1e-9))]
    flagged, share = scores > border, recall_at(rate)
    alarms = flagged[~labels].mean()
    first = np.where(labels, (flagged - share) / frauds, -slope * (flagged - alarms) / (~labels).sum())
    found[f"recall_at_fpr_{rate}"] = wilson(share, of(first), t, frauds)
    return found


def difference_of_areas(labels, own, other, clusters):
    """The paired interval of DeLong and Obuchowski."""
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    own, other = (placements(labels, np.asarray(scores)) for scores in (own, other))
    return quantile(labels, clusters) * np.sqrt(variance(own - other, labels, clusters))
