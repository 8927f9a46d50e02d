"""XGBoost and MLflow load a bundle and give the scores that the evaluation used.

    python bundle.py STATE_DIR
"""

import json
import pathlib
import sys

import mlflow.exceptions
import mlflow.pyfunc
import numpy as np
import pyarrow.parquet as pq
import xgboost

TOLERANCE = 1e-6


def published_run(state):
    bundles = list(state.glob("evidence/*/mf/train_runs/*/bundle/bundle.json"))
    assert len(bundles) == 1, f"one bundle expected, found {bundles}"
    return bundles[0].parent.parent


def main(state):
    run = published_run(state)
    manifest = json.loads((run / "bundle" / "bundle.json").read_text())
    features = [feature["name"] for feature in manifest["features"]]
    scores = pq.read_table(run / "model" / "scores.parquet").to_pandas().set_index("row_id")
    assert len(scores) > 1000 and scores["score"].nunique() > 100, "too little to compare"

    columns = json.loads((run / "inputs" / "manifest_0.json").read_text())["materializations"][0]["columns"]
    rows = pq.read_table(state / "inputs" / manifest["lineage"]["data"][0]["ref"]).to_pandas()
    rows = rows.set_index(columns["row_id"]).loc[scores.index]
    assert (rows[columns["label"]].astype(bool) == scores["label"]).all(), "labels differ"
    inputs = rows[features].astype("float32")

    booster = xgboost.Booster(model_file=str(run / "bundle" / "model.json"))
    by_xgboost = booster.predict(xgboost.DMatrix(inputs, feature_names=features))
    by_mlflow = mlflow.pyfunc.load_model(str(run / "bundle")).predict(rows[features])["score"].to_numpy()
    for name, found in (("xgboost", by_xgboost), ("mlflow", by_mlflow)):
        difference = float(np.abs(found - scores["score"].to_numpy()).max())
        print(f"{name}: {len(found)} scores, largest difference {difference:.2e}")
        assert difference <= TOLERANCE, f"{name} scores differ by {difference}"
    check_inputs(run / "bundle", rows, features)


def check_inputs(bundle, rows, features):
    """MLflow refuses rows that the model cannot read, and shows an example that it takes."""
    model = mlflow.pyfunc.load_model(str(bundle))
    assert [given["name"] for given in model.metadata.metadata["inputs"]] == features
    assert model.metadata.get_output_schema().input_names() == ["score"]
    for wrong in (rows.drop(columns=features[0]), rows.astype({features[0]: str})):
        try:
            model.predict(wrong)
        except mlflow.exceptions.MlflowException:
            continue
        raise AssertionError("MLflow took rows that the model cannot read")
    example = model.metadata.load_input_example(str(bundle))
    assert list(example.columns) == features and len(example) > 0
    assert len(model.predict(example)) == len(example)
    print(f"mlflow: inputs are checked; the example has {len(example)} rows")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
