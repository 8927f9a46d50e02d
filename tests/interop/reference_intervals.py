"""Confidence intervals by NumPy, SciPy and scikit-learn, written down from the papers that docs/intervals.md names.

What a row moves in a metric is found by weighing it a little more and a little less, where scikit-learn takes weights.
A row of weight w stands for w payments.
"""

import numpy as np
from scipy import special, stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

STEP = 1e-3


def by_weight(metric, labels, scores, weights):
    """The first derivatives of a metric by the weight of each row, and half the sum of the second ones by square weights."""
    around_it, whole = weights.astype(float), metric(labels, scores, sample_weight=weights)
    first, second = np.empty(len(scores)), 0.0
    for row in range(len(scores)):
        around = []
        for step in (-STEP, STEP):
            around_it[row] = weights[row] + step
            around.append(metric(labels, scores, sample_weight=around_it))
        around_it[row] = weights[row]
        first[row] = (around[1] - around[0]) / (2 * STEP)
        second += weights[row] ** 2 * (around[1] - 2 * whole + around[0]) / STEP**2
    return first, second / 2


def placements(labels, scores, weights):
    """DeLong's placement values, pair by pair."""
    frauds, good = scores[labels], scores[~labels]
    of_frauds, of_good = weights[labels], weights[~labels]
    wins = np.heaviside(frauds[:, None] - good[None, :], 0.5)
    area = of_frauds @ wins @ of_good / (of_frauds.sum() * of_good.sum())
    first = np.empty(len(scores))
    first[labels] = (wins @ of_good / of_good.sum() - area) / of_frauds.sum()
    first[~labels] = (of_frauds @ wins / of_frauds.sum() - area) / of_good.sum()
    return first, area


def variance(first, labels, clusters, weights):
    """Obuchowski (1997): frauds, good payments and both have factors of their own."""
    fraud = np.bincount(clusters, weights=np.where(labels, first * weights, 0))
    good = np.bincount(clusters, weights=np.where(labels, 0, first * weights))
    have = [len(np.unique(clusters[of])) for of in (labels, ~labels, np.ones(len(labels), dtype=bool))]
    factors = [count / (count - 1) for count in have]
    return factors[0] * (fraud**2).sum() + factors[1] * (good**2).sum() + 2 * factors[2] * (fraud * good).sum()


def kish(weights):
    return weights.sum() ** 2 / (weights**2).sum()


def quantile(labels, clusters, weights, confidence=0.95):
    few = kish(np.bincount(clusters, weights=labels * weights))
    if (weights != 1).any():
        few = min(few, kish(np.bincount(clusters, weights=~labels * weights)))
    return stats.t.ppf((1 + confidence) / 2, few - 1)


def half_entity(labels, clusters, weights):
    frauds = np.bincount(clusters, weights=labels * weights)
    return (frauds**2).sum() / frauds.sum() / 2


def top(scores, weights, k):
    """The part of each row that is among the k payments with the highest scores."""
    order = np.argsort(-scores)
    part = np.empty(len(scores))
    before = np.cumsum(weights[order]) - weights[order]
    part[order] = np.clip((k - before) / weights[order], 0, 1)
    return part


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


def expected(labels, scores, clusters, k, rate, threshold, weights=None):
    """The intervals of all metrics that have one; scores without ties."""
    labels, scores, clusters = np.asarray(labels), np.asarray(scores), np.asarray(clusters)
    w = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)
    n, frauds = w.sum(), w[labels].sum()
    t, half = quantile(labels, clusters, w), half_entity(labels, clusters, w)
    of = lambda first: variance(first, labels, clusters, w)
    share_of = lambda part: (w * part)[labels].sum() / (w * part).sum()
    payments = lambda *parts: sum((w * part).sum() for part in parts) ** 2 / sum((w**2 * part).sum() for part in parts)
    found = {}
    first, area = placements(labels, scores, w)
    found["auc_roc"] = log_odds(area, of(first), t, half, 0.5, frauds)
    first, bias = by_weight(average_precision_score, labels, scores, w)
    center = average_precision_score(labels, scores, sample_weight=w) - bias
    found["average_precision"] = log_odds(center, of(first), t, half, 0.0, frauds)
    for name, metric, of_fraud in (
        ("log_loss", log_loss, -np.log(scores)), ("brier_score", brier_score_loss, (1 - scores) ** 2),
    ):
        first, _ = by_weight(metric, labels, scores, w)
        blind = np.average(of_fraud[~labels], weights=w[~labels])
        found[name] = loss(metric(labels, scores, sample_weight=w), of(first), t, half, blind, n)

    part, q = top(scores, w, k), k / n
    local = share_of(top(scores, w, 1.5 * k) - top(scores, w, k / 2))
    share = share_of(part)
    r = min(local, share)
    first = (part * (labels - r) - q * (share - r)) / k
    found[f"precision_at_{k}"] = wilson(share, of(first), t, payments(part))
    recall = share * k / frauds
    first = (part * (labels - r) + r * q - recall * labels) / frauds
    found[f"recall_at_{k}"] = wilson(recall, of(first), t, payments(labels))

    flagged = (scores >= threshold).astype(float)
    share, all_flagged = share_of(flagged), (w * flagged).sum()
    first = flagged * (labels - share) / all_flagged
    found[f"precision_at_threshold_{threshold}"] = wilson(share, of(first), t, payments(flagged))
    recall = (w * flagged)[labels].sum() / frauds
    found[f"recall_at_threshold_{threshold}"] = wilson(recall, of(labels * (flagged - recall) / frauds), t, payments(labels))
    both = all_flagged + frauds
    share = 2 * (w * flagged)[labels].sum() / both
    first = (2 * flagged * labels - share * (flagged + labels)) / both
    found[f"f1_at_threshold_{threshold}"] = wilson(share, of(first), t, payments(flagged, labels))

    def border(rate):
        """The score of the first good payment beyond the rate."""
        good, weight = scores[~labels], w[~labels]
        order = np.argsort(-good)
        beyond = np.cumsum(weight[order]) > rate * weight.sum() + 1e-9
        return good[order][beyond.argmax()]

    recall_at = lambda rate: np.average(scores[labels] > border(rate), weights=w[labels])
    slope = (recall_at(2 * rate) - recall_at(rate / 2)) / (1.5 * rate)
    flagged, share = scores > border(rate), recall_at(rate)
    alarms = np.average(flagged[~labels], weights=w[~labels])
    first = np.where(labels, (flagged - share) / frauds, -slope * (flagged - alarms) / w[~labels].sum())
    found[f"recall_at_fpr_{rate}"] = wilson(share, of(first), t, payments(labels))
    return found


def difference_of_areas(labels, own, other, clusters, weights=None):
    """The paired interval of DeLong and Obuchowski."""
    labels, clusters = np.asarray(labels), np.asarray(clusters)
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    own, other = (placements(labels, np.asarray(scores), w)[0] for scores in (own, other))
    return quantile(labels, clusters, w) * np.sqrt(variance(own - other, labels, clusters, w))
