"""Writes tests/golden/metrics/scikit_learn.json: metrics of fixed and random cases by scikit-learn.

Usage: python tests/interop/metric_fixtures.py
"""

import json
import pathlib
import random

from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score


def expected(scores, labels):
    both = len(set(labels)) == 2
    return {
        "auc_roc": roc_auc_score(labels, scores) if both else None,
        "average_precision": average_precision_score(labels, scores) if any(labels) else None,
        "log_loss": log_loss(labels, scores, labels=[False, True]),
        "brier_score": brier_score_loss(labels, scores, pos_label=True),
    }


def main():
    rng = random.Random(7)
    cases = {
        "perfect": ([0.9, 0.8, 0.2, 0.1], [True, True, False, False]),
        "reversed": ([0.1, 0.2, 0.8, 0.9], [True, True, False, False]),
        "constant": ([0.3] * 6, [True, False, False, True, False, False]),
        "all negative": ([0.1, 0.5, 0.5], [False] * 3),
        "all positive": ([0.1, 0.5, 0.5], [True] * 3),
        "certain and wrong": ([0.0, 1.0, 1.0], [True, False, True]),
    }
    for n in (10, 100, 1000):
        cases[f"random {n}"] = ([rng.random() for _ in range(n)], [rng.random() < 0.2 for _ in range(n)])
        cases[f"ties {n}"] = ([rng.randrange(8) / 8 for _ in range(n)], [rng.random() < 0.2 for _ in range(n)])
    fixtures = [
        {"name": name, "scores": scores, "labels": labels, "expected": expected(scores, labels)}
        for name, (scores, labels) in cases.items()
    ]
    out = pathlib.Path(__file__).parent.parent / "golden" / "metrics" / "scikit_learn.json"
    out.write_text(json.dumps(fixtures) + "\n")


if __name__ == "__main__":
    main()
