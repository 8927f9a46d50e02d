"""XGBoost explains the demo's model as the evaluation report does.

    python explanation.py STATE_DIR
"""

import json
import pathlib
import sys

import numpy as np
import pyarrow.parquet as pq
import xgboost
from bundle import published_run
from categories import check

# At most so many rows, evenly spaced, are averaged over.
SHAP_ROWS = 2000


def main(state):
    run = published_run(state)
    plan = json.loads((run / "bundle" / "resolved_train_plan.json").read_text())
    effects = json.loads((run / "eval" / "eval_report.json").read_text())["metrics"]["features"]
    names = [feature["name"] for feature in plan["features"]]
    assert [effect["feature"] for effect in effects] == names
    scored = pq.read_table(run / "model" / "scores.parquet").to_pandas()["row_id"]
    rows = pq.read_table(state / "inputs" / plan["files"][0]["ref"]).to_pandas().set_index(plan["columns"]["row_id"])
    sample = rows.loc[scored[:: -(-len(scored) // SHAP_ROWS)], names].astype("float32")
    booster = xgboost.Booster(model_file=str(run / "bundle" / "model.json"))
    contributions = booster.predict(xgboost.DMatrix(sample), pred_contribs=True)[:, :-1].astype("float64")
    check("mean |SHAP|", [effect["mean_abs_shap"] for effect in effects], np.abs(contributions).mean(axis=0), 1e-5)
    check("mean SHAP", [effect["mean_shap"] for effect in effects], contributions.mean(axis=0), 1e-5)
    splits = booster.get_score(importance_type="weight")
    gains = booster.get_score(importance_type="total_gain")
    check("splits", [effect["splits"] for effect in effects], [splits.get(name, 0) for name in names])
    used = [effect for effect in effects if effect["splits"]]
    relative = [effect["total_gain"] / gains[effect["feature"]] for effect in used]
    check("total gain, as a share of XGBoost's", relative, np.ones(len(relative)), 1e-4)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
