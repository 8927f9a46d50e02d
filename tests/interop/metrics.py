"""scikit-learn and SciPy compute the metrics of an evaluation report from the scores beside it.

    python metrics.py STATE_DIR
"""

import json
import pathlib
import sys

import pyarrow.parquet as pq
import reference_metrics
from bundle import published_run


def main(state):
    run = published_run(state)
    table = pq.read_table(run / "model" / "scores.parquet").to_pandas()
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy(dtype="float64")
    reported = json.loads((run / "eval" / "eval_report.json").read_text())["metrics"]["scores"]
    compared = 0
    for name, his in reference_metrics.expected(scores, labels)["expected"].items():
        if name in reported:
            ours = reported[name]["value"]
            print(f"{name}: {ours:.12f}, theirs {his:.12f}")
            assert abs(ours - his) <= 1e-9, name
            compared += 1
    assert compared >= 8, reported.keys()
    best = table.sort_values("score", ascending=False, kind="stable")["label"]
    for k in (50, 100):
        ours, his = reported[f"precision_at_{k}"]["value"], float(best.head(k).mean())
        print(f"precision_at_{k}: {ours:.4f}, by hand {his:.4f}")
        assert abs(ours - his) <= 1e-12


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
