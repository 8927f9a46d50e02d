"""Writes tests/golden/metrics/scikit_learn.json: metrics and curves of fixed and random cases.

Usage: python tests/interop/metric_fixtures.py
"""

import json
import pathlib
import random

from reference_metrics import expected


def cases():
    rng = random.Random(7)
    yield "perfect", [0.9, 0.8, 0.2, 0.1], [True, True, False, False]
    yield "reversed", [0.1, 0.2, 0.8, 0.9], [True, True, False, False]
    yield "constant", [0.3] * 6, [True, False, False, True, False, False]
    yield "constant on a border", [0.5] * 6, [True, False, False, True, False, False]
    yield "constant, one class", [0.7] * 5, [False] * 5
    yield "all negative", [0.1, 0.5, 0.5], [False] * 3
    yield "all positive", [0.1, 0.5, 0.5], [True] * 3
    yield "certain and wrong", [0.0, 1.0, 1.0], [True, False, True]
    yield "one row", [0.4], [True]
    yield "extreme", [0.0, 1e-300, 1e-17, 1e-9, 1 - 1e-9, 1 - 1e-16, 1.0, 1.0], [True, False] * 4
    yield "borders of bins", [i / 10 for i in range(11)] * 3, [i % 3 == 0 for i in range(33)]
    yield "rare", [i / 1600 for i in range(800)], [i % 200 == 199 for i in range(800)]
    for n in (10, 100, 300):
        yield f"random {n}", [rng.random() for _ in range(n)], [rng.random() < 0.2 for _ in range(n)]
        yield f"ties {n}", [rng.randrange(8) / 8 for _ in range(n)], [rng.random() < 0.2 for _ in range(n)]
        scores = [rng.random() ** 3 for _ in range(n)]
        yield f"calibrated {n}", scores, [rng.random() < score for score in scores]


def main():
    fixtures = [
        {"name": name, "scores": scores, "labels": labels, **expected(scores, labels)}
        for name, scores, labels in cases()
    ]
    out = pathlib.Path(__file__).parent.parent / "golden" / "metrics" / "scikit_learn.json"
    out.write_text("[\n" + ",\n".join(json.dumps(fixture) for fixture in fixtures) + "\n]\n")


if __name__ == "__main__":
    main()
