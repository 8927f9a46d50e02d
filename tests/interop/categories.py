"""XGBoost scores rows with a categorical feature as the trainer's child does, row by row and in batches.

    python categories.py BINARY STATE_DIR
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import parity
import peers
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from bundle import TOLERANCE, published_run

CATEGORICAL = "merchant_category"
TRIED_ROWS = 130


def train(binary, state, job_dir, texts):
    """The demo's own job with one more feature, carried out by the child. `texts` stand in place of its categories."""
    plan = json.loads((published_run(state) / "bundle" / "resolved_train_plan.json").read_text())
    plan["features"].append({"name": CATEGORICAL, "type": "categorical"})
    rows = pq.read_table(state / "inputs" / plan["files"][0]["ref"])
    own = rows[CATEGORICAL].to_pylist()
    told = dict(zip(sorted(set(own) - {None}), texts))
    told = pa.array([told.get(value) for value in own])
    rows = rows.set_column(rows.column_names.index(CATEGORICAL), CATEGORICAL, told)
    data = job_dir / "rows.parquet"
    pq.write_table(rows, data)
    job = {"plan": plan, "files": [str(data)], "limits": plan["limits"], "threads": 2}
    (job_dir / "job.json").write_text(json.dumps(job))
    subprocess.run([binary, "trainer-child", str(job_dir), str(os.getpid())], check=True, stdout=subprocess.DEVNULL)
    result = json.loads((job_dir / "result.json").read_text())
    assert result["status"] == "finished", result
    return plan, rows.to_pandas().set_index(plan["columns"]["row_id"])


def check(name, found, expected, tolerance=TOLERANCE):
    difference = float(np.abs(np.asarray(found, dtype="float64") - np.asarray(expected, dtype="float64")).max())
    print(f"{name}: {len(found)} values, largest difference {difference:.2e}")
    assert difference <= tolerance, f"{name} differs by {difference}"


def check_texts(binary, state, texts):
    with tempfile.TemporaryDirectory() as folder:
        job_dir = pathlib.Path(folder)
        plan, rows = train(pathlib.Path(binary).resolve(), state, job_dir, texts)
        scores = pq.read_table(job_dir / "scores.parquet").to_pandas().set_index("row_id")
        booster = xgboost.Booster(model_file=str(job_dir / "model.json"))
        vectors = json.loads((job_dir / "parity_vectors.json").read_text())
    assert {"known_category", "unknown_category"} <= parity.check(booster, vectors)
    names = [feature["name"] for feature in plan["features"]]
    frame = rows.loc[scores.index, names]

    # By the codes in the attribute `categories`.
    known = {entry["feature"]: entry["values"] for entry in json.loads(booster.attr("categories"))}
    assert known[CATEGORICAL] == sorted(known[CATEGORICAL]) and len(known[CATEGORICAL]) == 9, known
    codes = {value: code for code, value in enumerate(known[CATEGORICAL])}
    coded = frame.assign(**{CATEGORICAL: frame[CATEGORICAL].map(codes)}).astype("float32")
    types = ["c" if name == CATEGORICAL else "float" for name in names]
    matrix = xgboost.DMatrix(coded.to_numpy(), feature_names=names, feature_types=types, enable_categorical=True)
    check("scores by codes", booster.predict(matrix), scores["score"])

    # By a data frame whose own categories are numbered in another order.
    order = list(reversed(known[CATEGORICAL]))
    named = frame.astype({name: "float32" for name in names if name != CATEGORICAL})
    named[CATEGORICAL] = pd.Categorical(frame[CATEGORICAL], categories=order)
    matrix_of_names = xgboost.DMatrix(named, enable_categorical=True)
    check("scores by names", booster.predict(matrix_of_names), scores["score"])

    # Row by row and in batches, by a data frame and by Arrow.
    expected = scores["score"].to_numpy().astype("float32")[:TRIED_ROWS]
    table = pa.table({
        name: frame[name].astype("float32") if name != CATEGORICAL else pa.array(frame[name]).dictionary_encode()
        for name in names
    })
    booster.set_param({"nthread": 1})
    for what, take in (("data frame", named.iloc.__getitem__), ("Arrow", table.take)):
        def predict(of):
            return booster.predict(xgboost.DMatrix(take(of), enable_categorical=True, nthread=1))

        count = peers.check_in_batches(what, TRIED_ROWS, expected, predict, peers.BATCHES)
        print(f"{what}: {count} scores row by row and in batches")
    assert booster.get_score(importance_type="weight").get(CATEGORICAL, 0) > 0, "no split on the category"


def main(binary, state):
    check_texts(binary, state, sorted(set(pq.read_table(state / "inputs/ofs/data/cards.parquet")[CATEGORICAL].to_pylist()) - {None}))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
