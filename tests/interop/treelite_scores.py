"""Treelite gives random models' rows our scores, one by one and in batches.

    python treelite_scores.py FOLDER

FOLDER is what random_models.py wrote. Treelite refuses XGBoost's container of categories, so it gets the model without
it, as docs/scoring.md says.
"""

import json
import sys

import numpy as np
import random_models
import treelite
import treelite.gtil

TOLERANCE = 1e-6
BATCHES = [1, 2, 63, 64, 65, 129]


def without_container(document):
    document["learner"]["gradient_booster"]["model"]["cats"] = {"enc": [], "feature_segments": [], "sorted_idx": []}
    return document


def main(folder):
    largest = 0.0
    for model in random_models.load(folder):
        document = json.loads(model.file.read_text())
        if model.categories:
            try:
                treelite.frontend.from_xgboost_json(json.dumps(document))
            except treelite.TreeliteError as error:
                assert "categor" in str(error), error
            else:
                raise AssertionError("treelite reads XGBoost's container now: docs/scoring.md can say so")
        trees = treelite.frontend.from_xgboost_json(json.dumps(without_container(document)))
        codes = model.codes(model.rows)
        for size in BATCHES:
            parts = [treelite.gtil.predict(trees, codes[at : at + size]) for at in range(0, len(codes), size)]
            largest = max(largest, float(np.abs(np.concatenate(parts).ravel() - model.scores).max()))
    print(f"treelite {treelite.__version__}: random models, largest difference {largest:.2e}")
    assert largest <= TOLERANCE


if __name__ == "__main__":
    main(sys.argv[1])
