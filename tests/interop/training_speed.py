"""Seconds that Python takes to read, fit, score and measure what `bench training --keep DIR` left there.

    pip install pandas pyarrow scikit-learn xgboost-cpu lightgbm
    python training_speed.py DIR/wide.parquet [THREADS] [TREES] [DEPTH]

Imports are not counted.
"""

import sys
import time

import lightgbm
import pyarrow.parquet as pq
import xgboost
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score


def read(path):
    names = [name for name in pq.read_schema(path).names if name.startswith("f") and name[1:].isdigit()]
    table = pq.read_table(path, columns=[*names, "fraud"]).to_pandas()
    cut = len(table) * 4 // 5
    features, labels = table[names], table["fraud"].astype("int8")
    return features[:cut], labels[:cut], features[cut:], labels[cut:]


def by_xgboost(train, labels, test, threads, trees, depth):
    parameters = {
        "objective": "binary:logistic", "tree_method": "hist", "max_depth": depth, "eta": 0.1, "nthread": threads,
    }
    since = time.perf_counter()
    booster = xgboost.train(parameters, xgboost.QuantileDMatrix(train, label=labels), trees)
    fit = time.perf_counter() - since
    return booster.inplace_predict(test), fit


def by_lightgbm(train, labels, test, threads, trees, depth):
    parameters = {
        "objective": "binary", "max_depth": depth, "num_leaves": 2**depth - 1, "learning_rate": 0.1,
        "num_threads": threads, "verbose": -1,
    }
    since = time.perf_counter()
    booster = lightgbm.train(parameters, lightgbm.Dataset(train, label=labels), trees)
    fit = time.perf_counter() - since
    return booster.predict(test), fit


def main(path, threads=2, trees=100, depth=6):
    for name, fit_and_score in (("XGBoost", by_xgboost), ("LightGBM", by_lightgbm)):
        since = time.perf_counter()
        train, labels, test, expected = read(path)
        scores, fit = fit_and_score(train, labels, test, int(threads), int(trees), int(depth))
        measured = {
            metric.__name__: round(float(metric(expected, scores)), 5)
            for metric in (roc_auc_score, average_precision_score, log_loss, brier_score_loss)
        }
        print(f"{name}: {time.perf_counter() - since:.2f} s, of which {fit:.2f} s fit; {measured}")


if __name__ == "__main__":
    main(*sys.argv[1:])
