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
    by_mlflow = np.asarray(mlflow.pyfunc.load_model(str(run / "bundle")).predict(inputs)).ravel()
    for name, found in (("xgboost", by_xgboost), ("mlflow", by_mlflow)):
        difference = float(np.abs(found - scores["score"].to_numpy()).max())
        print(f"{name}: {len(found)} scores, largest difference {difference:.2e}")
        assert difference <= TOLERANCE, f"{name} scores differ by {difference}"
    check_inputs(run / "bundle", inputs, features)


def check_inputs(bundle, inputs, features):
    """MLflow holds what it is given against the signature, and shows an example that fits it."""
    model = mlflow.pyfunc.load_model(str(bundle))
    assert model.metadata.get_input_schema().input_names() == features
    for wrong in (inputs.drop(columns=features[0]), inputs.astype({features[0]: str})):
        try:
            model.predict(wrong)
        except mlflow.exceptions.MlflowException:
            continue
        raise AssertionError("MLflow took inputs that do not fit the signature")
    example = model.metadata.load_input_example(str(bundle))
    assert list(example.columns) == features and len(example) > 0
    assert len(np.asarray(model.predict(example)).ravel()) == len(example)
    print(f"mlflow: inputs are checked; the example has {len(example)} rows")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
