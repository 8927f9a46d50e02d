"""scikit-learn computes the metrics of an evaluation report from the scores beside it.

    python metrics.py STATE_DIR
"""

import json
import pathlib
import sys

import pyarrow.parquet as pq
from bundle import published_run
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

EXPECTED = {
    "auc_roc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}


def main(state):
    run = published_run(state)
    table = pq.read_table(run / "model" / "scores.parquet").to_pandas()
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy(dtype="float64")
    reported = json.loads((run / "eval" / "eval_report.json").read_text())["metrics"]["scores"]
    for name, metric in EXPECTED.items():
        ours, theirs = reported[name]["value"], float(metric(labels, scores))
        print(f"{name}: {ours:.12f}, scikit-learn {theirs:.12f}")
        assert abs(ours - theirs) <= 1e-9, name
    best = table.sort_values("score", ascending=False, kind="stable")["label"]
    for k in (50, 100):
        ours, theirs = reported[f"precision_at_{k}"]["value"], float(best.head(k).mean())
        print(f"precision_at_{k}: {ours:.4f}, by hand {theirs:.4f}")
        assert abs(ours - theirs) <= 1e-12


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
