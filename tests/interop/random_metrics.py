"""scikit-learn, SciPy and NumPy measure random windows that the binary measures too.

    python random_metrics.py BINARY
"""

import json
import random
import subprocess
import sys
import warnings

import numpy as np
import reference_intervals
import reference_metrics
from sklearn.metrics import average_precision_score, roc_auc_score

CASES = 300
TOLERANCE = 1e-9


def window(rng):
    n = rng.choice([1, 2, 5, 30, 200, 900])
    rate = rng.choice([0.0, 0.02, 0.3, 1.0])
    draw = rng.choice([
        rng.random, lambda: rng.randrange(6) / 5, lambda: 0.3, lambda: rng.random() ** 8, lambda: float(rng.random() < 0.5),
        lambda: float(np.float32(rng.random())),
    ])
    return [draw() for _ in range(n)], [rng.random() < rate for _ in range(n)]


def card_precision(scores, labels, days, cards, k):
    """Fraud Detection Handbook, chapter 4; its pandas code, with ties in the order of the data."""
    found, shares = set(), []
    for day in sorted(set(days)):
        best = {}
        for score, label, at, card in zip(scores, labels, days, cards):
            if at == day and card not in found:
                highest, compromised = best.get(card, (-1.0, False))
                best[card] = (max(highest, score), compromised or label)
        top = sorted(best, key=lambda card: -best[card][0])[:k]
        hits = [card for card in top if best[card][1]]
        shares.append(len(hits) / k)
        found.update(hits)
    return sum(shares) / len(shares)


def close(ours, his):
    return abs(ours - his) <= TOLERANCE * max(1.0, abs(his))


def compare(ours, his):
    for name, value in his["expected"].items():
        found = ours["scores"][name]
        assert (found["value"] is None) == (value is None), (name, found, value)
        assert value is None or close(found["value"], value), (name, found, value)
    assert ours["confusion"] == his["confusion"]
    curves = ours["curves"]
    for name, x, y in (
        ("roc", "false_positive_rate", "true_positive_rate"), ("precision_recall", "recall", "precision"),
        ("calibration", "mean_score", "fraud_rate"), ("score_histogram", "positives", "negatives"),
    ):
        points, theirs_points = [(point[x], point[y]) for point in curves[name]], his["curves"][name]
        assert len(points) == len(theirs_points), (name, len(points), len(theirs_points))
        for point, expected in zip(points, theirs_points):
            assert all(map(close, point, expected)), (name, point, expected)


def main(binary):
    warnings.simplefilter("ignore")
    seed = random.randrange(2**32)
    print(f"metrics: seed {seed}")
    rng = random.Random(seed)
    cases = []
    for _ in range(CASES):
        scores, labels = window(rng)
        cards = [rng.randrange(1 + len(scores) // 4) for _ in scores]
        days = [rng.randrange(4) for _ in scores]
        cases.append({
            "scores": scores, "labels": labels, "cards": cards, "days": days, "evaluation": reference_metrics.EVALUATION,
        })
        if rng.random() < 0.5:
            # As after a draw that keeps every fraud and some of the good payments, or anyhow.
            cases[-1]["weights"] = [1 if label else 10 for label in labels]
            if rng.random() < 0.5:
                cases[-1]["weights"] = [rng.randrange(1, 7) for _ in labels]
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    out = subprocess.run([binary, "measure"], input=lines, capture_output=True, text=True, check=True).stdout
    measured = [json.loads(line) for line in out.splitlines()]
    assert len(measured) == CASES
    for case, ours in zip(cases, measured):
        compare(ours, reference_metrics.expected(case["scores"], case["labels"], case.get("weights")))
        if "weights" in case:
            assert ours["scores"]["card_precision_at_5"]["value"] is None, ours["scores"]["card_precision_at_5"]
            continue
        his = card_precision(case["scores"], case["labels"], case["days"], case["cards"], 5)
        assert close(ours["scores"]["card_precision_at_5"]["value"], his), (ours["scores"]["card_precision_at_5"], his)
    print(f"metrics: {CASES} random windows, every metric and every point of every curve within {TOLERANCE}")
    intervals(binary, rng)
    champions(binary, rng)


def clustered(rng, rows):
    """Scores of two models and labels; the frauds of a card have similar scores."""
    labels, candidate, champion, cards = [], [], [], []
    for card in range(rows):
        fraud, shared = rng.random() < 0.25, rng.gauss(0, 0.1)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = (0.6 if fraud else 0.35) + shared + rng.gauss(0, 0.1)
            candidate.append(min(0.999, max(0.001, at)) + rng.random() * 1e-4)
            champion.append(min(0.999, max(0.001, at + rng.gauss(0, 0.1))) + rng.random() * 1e-4)
            labels.append(fraud)
            cards.append(card)
    return labels, candidate, champion, cards


def intervals(binary, rng):
    """Every interval by hand, with cards as clusters and with single payments, without and with weights."""
    labels, candidate, champion, cards = clustered(rng, 240)
    case = {"scores": candidate, "champion": champion, "labels": labels,
            "evaluation": {"k": [60], "fpr": [0.1], "thresholds": [0.5]}}
    # A third of the rows stands for several payments.
    weights = [rng.choice([1, 1, 2.5]) * (1 if label else 4) for label in labels]
    cases = [case | {"clusters": cards}, case, case | {"clusters": cards, "weights": weights}, case | {"weights": weights}]
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    out = subprocess.run([binary, "measure"], input=lines, capture_output=True, text=True, check=True).stdout
    for case, line in zip(cases, out.splitlines()):
        ours, clusters = json.loads(line), case.get("clusters", list(range(len(labels))))
        by, compared = case.get("weights"), 0
        for name, (low, high) in reference_intervals.expected(labels, candidate, clusters, 60, 0.1, 0.5, by).items():
            found = ours["scores"][name].get("interval")
            if by and not found:
                # Weights may leave too few payments that count.
                assert ours["scores"][name]["no_interval_because"], name
                continue
            if np.isnan(low):
                # Every flagged payment is a fraud, so that the reference has no variance to start from.
                assert ours["scores"][name]["value"] == 1, name
                continue
            compared += 1
            # scikit-learn's metrics are differentiated by numbers.
            by_numbers = name in ("average_precision", "log_loss", "brier_score")
            tolerance = 1e-6 if by_numbers else TOLERANCE
            assert abs(found["low"] - low) < tolerance and abs(found["high"] - high) < tolerance, (name, found, low, high)
        assert compared > 5, f"only {compared} intervals"
        reach = reference_intervals.difference_of_areas(labels, candidate, champion, clusters, by)
        found = ours["champion"]["auc_roc"]
        assert close(found["interval"]["low"], found["difference"] - reach), (found, reach)
        assert close(found["interval"]["high"], found["difference"] + reach), (found, reach)
        for name in ("ks_statistic", "expected_calibration_error"):
            assert "interval" not in ours["scores"][name] and ours["scores"][name]["no_interval_because"], name
    print("metrics: every interval by hand, by card and by payment, without and with weights")


def champions(binary, rng):
    """The values of two models of one window by scikit-learn, and a bootstrap of the pairs for the width of intervals."""
    n, replicates = 1500, 1500
    labels = np.asarray([rng.random() < 0.1 for _ in range(n)])
    # Both models share a part of their scores, so that unpaired intervals would be much wider.
    common = np.asarray([rng.gauss(0.6 if label else 0.4, 0.12) for label in labels])
    candidate, champion = (np.clip(common + [rng.gauss(0, by) for _ in range(n)], 0, 1) for by in (0.04, 0.08))
    case = {"scores": candidate.tolist(), "champion": champion.tolist(), "labels": labels.tolist()}
    out = subprocess.run([binary, "measure"], input=json.dumps(case), capture_output=True, text=True, check=True).stdout
    ours = json.loads(out)["champion"]
    draws = np.random.default_rng(rng.randrange(2**32)).integers(0, n, size=(replicates, n))
    metrics = {
        "auc_roc": roc_auc_score, "average_precision": average_precision_score,
        "brier_score": lambda truth, scores: float(np.mean((scores - truth) ** 2)),
    }
    for name, metric in metrics.items():
        found = ours[name]
        pair = metric(labels, candidate), metric(labels, champion)
        assert close(found["candidate"], pair[0]) and close(found["champion"], pair[1]), (name, found, pair)
        assert close(found["difference"], pair[0] - pair[1]), (name, found, pair)
        values = [metric(labels[rows], candidate[rows]) - metric(labels[rows], champion[rows]) for rows in draws]
        (low, high), interval = np.percentile(values, [2.5, 97.5]), found["interval"]
        print(f"{name} less the champion's: [{interval['low']:.5f}, {interval['high']:.5f}], NumPy [{low:.5f}, {high:.5f}]")
        noise = 0.2 * (high - low)
        assert abs(interval["low"] - low) < noise and abs(interval["high"] - high) < noise, name


if __name__ == "__main__":
    main(sys.argv[1])
