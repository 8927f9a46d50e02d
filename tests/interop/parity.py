"""XGBoost gives the parity vectors' rows exactly the scores that they say, bit for bit as 32-bit floats.

    python parity.py STATE_DIR
"""

import json
import pathlib
import sys

import numpy as np
import xgboost
from bundle import published_run


def inputs(vectors):
    """The rows as the model reads them: a category is the place of its value, whatever is not known is missing."""
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
    said = np.array([int(row["score_bits"], 16) for row in vectors["vectors"]], dtype="uint32")
    written = np.array([row["score"] for row in vectors["vectors"]], dtype="float32").view("uint32")
    cases = {row["case"] for row in vectors["vectors"]}
    differing = [index for index in range(len(said)) if not said[index] == found[index] == written[index]]
    print(f"parity: {len(said)} vectors of {len(cases)} cases, {len(differing)} differ from XGBoost in any bit")
    assert not differing, [vectors["vectors"][index] for index in differing[:3]]
    return cases


def main(state):
    bundle = published_run(state) / "bundle"
    vectors = json.loads((bundle / "parity_vectors.json").read_text())
    cases = check(xgboost.Booster(model_file=str(bundle / "model.json")), vectors)
    assert {"all_missing", "lowest", "highest", "one_missing", "at_threshold", "below_threshold"} <= cases, cases


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
