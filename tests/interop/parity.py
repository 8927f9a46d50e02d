"""XGBoost gives the rows of the parity vectors exactly their scores, and every row of a file exactly the score that
`model-factory score` gives it, bit for bit as 32-bit floats.

    python parity.py BINARY STATE_DIR
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow.parquet as pq
import xgboost
from bundle import published_run


def inputs(vectors):
    """The rows as the model reads them: a category is the index of its value, an unknown one is missing."""
    codes = {of["feature"]: {value: code for code, value in enumerate(of["values"])} for of in vectors["categories"]}

    def read(name, value):
        if value is None:
            return np.nan
        return codes[name].get(value, np.nan) if name in codes else value

    names = vectors["features"]
    rows = [[read(name, value) for name, value in zip(names, row["values"])] for row in vectors["vectors"]]
    return np.array(rows, dtype="float32")


def check(booster, vectors):
    categorical = {of["feature"] for of in vectors["categories"]}
    types = ["c" if name in categorical else "float" for name in vectors["features"]]
    matrix = xgboost.DMatrix(
        inputs(vectors), feature_names=vectors["features"], feature_types=types, enable_categorical=True
    )
    found = booster.predict(matrix).astype("float32").view("uint32")
    expected = np.array([int(row["score_bits"], 16) for row in vectors["vectors"]], dtype="uint32")
    written = np.array([row["score"] for row in vectors["vectors"]], dtype="float32").view("uint32")
    cases = {row["case"] for row in vectors["vectors"]}
    differing = [index for index in range(len(expected)) if not expected[index] == found[index] == written[index]]
    print(f"parity: {len(expected)} vectors of {len(cases)} cases, {len(differing)} differ from XGBoost in any bit")
    assert not differing, [vectors["vectors"][index] for index in differing[:3]]
    return cases


def score(binary, bundle, data):
    """What `model-factory score` prints for the file, and the rows that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "scores.parquet"
        command = [binary, "score", bundle, data, "--out", out, "--allow-unsigned", "--output", "json"]
        printed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return printed, pq.read_table(out).to_pandas()


def check_file(binary, booster, bundle, data):
    manifest = json.loads((bundle / "bundle.json").read_text())
    names = [feature["name"] for feature in manifest["features"]]
    rows = pq.read_table(data).to_pandas()
    printed, scores = score(binary, bundle, data)
    assert printed["rows"] == len(rows) == len(scores) > 10_000, printed
    assert (scores["row_id"] == rows[printed["id_column"]]).all(), "the ids are not those of the rows, in their order"
    by_xgboost = booster.predict(xgboost.DMatrix(rows[names].astype("float32"), feature_names=names))
    differing = int((by_xgboost.view("uint32") != scores["score"].to_numpy("float32").view("uint32")).sum())
    print(f"score: {len(rows)} rows of {data.name}, {differing} differ from XGBoost in any bit")
    assert differing == 0


def main(binary, state):
    bundle = published_run(state) / "bundle"
    vectors = json.loads((bundle / "parity_vectors.json").read_text())
    booster = xgboost.Booster(model_file=str(bundle / "model.json"))
    cases = check(booster, vectors)
    assert {"all_missing", "lowest", "highest", "one_missing", "at_threshold", "below_threshold"} <= cases, cases
    manifest = json.loads((bundle / "bundle.json").read_text())
    check_file(binary, booster, bundle, state / "inputs" / manifest["lineage"]["data"][0]["ref"])


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
