"""XGBoost gives random models' rows our scores, bit for bit: one by one and in batches, from arrays, data frames and
Arrow tables. Its SHAP values are those of the evaluation.

    python peers.py FOLDER

FOLDER is what random_models.py wrote. What each version of XGBoost can read is said in docs/scoring.md.
"""

import json
import sys

import numpy as np
import pandas as pd
import parity
import pyarrow as pa
import pyarrow.parquet as pq
import random_models
import xgboost

VERSION = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
# From this version on, XGBoost encodes the categories of a data frame and of an Arrow table by itself.
ENCODES = (3, 1)
# Before this version, it may take a category that the model never saw for another one.
REFUSES_UNKNOWN = (3, 3)
# Before this version, its Python package cuts the text of a data frame's categories by characters in place of bytes.
READS_ALL_TEXT = (3, 4)
BATCHES = [1, 2, 63, 64, 65, 129]
SINGLE_ROWS = 12


def matrix(model, codes):
    types = ["c" if name in model.categories else "float" for name in model.names]
    return xgboost.DMatrix(codes, feature_names=model.names, feature_types=types, enable_categorical=True, nthread=1)


def known(model, rows):
    """The rows without the categories that the model never saw."""
    for name, values in model.categories.items():
        told = [value if value in values else None for value in rows[name].to_pylist()]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(told, rows[name].type))
    return rows


def numbers(column):
    return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype="float64")


def frame(model, rows):
    """A data frame. Where XGBoost encodes the categories, they are in another order than the model's."""
    columns = {}
    for name in model.names:
        if name in model.categories:
            order = model.categories[name][:: -1 if VERSION >= ENCODES else 1]
            values = [int(value) if isinstance(value, bool) else value for value in rows[name].to_pylist()]
            columns[name] = pd.Categorical(values, categories=order)
        else:
            columns[name] = numbers(rows[name])
    return pd.DataFrame(columns)


def arrow(model, rows):
    """An Arrow table with dictionaries of text. The model must have no categories that are numbers."""
    columns = {}
    for name in model.names:
        if name in model.categories:
            columns[name] = rows[name].combine_chunks().dictionary_encode()
        else:
            columns[name] = pa.array(numbers(rows[name]))
    return pa.table(columns)


def same(what, found, expected):
    differing = np.flatnonzero(found.astype("float32").view("uint32") != expected.view("uint32"))
    assert len(found) == len(expected) and not len(differing), f"{what}: {len(differing)} rows differ: {differing[:5]}"
    return len(found)


def check_in_batches(what, rows, expected, predict, batches):
    """`predict` gives the scores of some rows, by their numbers."""
    count = 0
    for size in batches:
        for start in range(0, rows, size):
            of = np.arange(start, min(start + size, rows))
            count += same(f"{what} in batches of {size}, from {start}", predict(of), expected[of])
    repeated = np.full(129, rows // 2)
    return count + same(f"{what}, one row 129 times", predict(repeated), expected[repeated])


def check_scores(model, booster):
    codes = model.codes(model.rows)
    count = check_in_batches(
        "array", len(codes), model.scores, lambda of: booster.predict(matrix(model, codes[of])), BATCHES
    )
    texts = [value for values in model.categories.values() for value in values if isinstance(value, str)]
    has_numbers = sum(len(values) for values in model.categories.values()) > len(texts)
    rows = known(model, model.rows)

    def predict(table):
        return booster.predict(xgboost.DMatrix(table, enable_categorical=True, nthread=1))

    if VERSION < ENCODES or VERSION >= READS_ALL_TEXT or all(text.isascii() for text in texts):
        given = frame(model, rows)
        count += same("data frame", predict(given), model.scores)
        count += check_in_batches(
            "data frame", SINGLE_ROWS, model.scores, lambda of: predict(given.iloc[of]), [1, 2]
        )
    if not model.categories or VERSION >= ENCODES and not has_numbers:
        given = arrow(model, rows)
        count += same("Arrow", predict(given), model.scores)
        count += check_in_batches("Arrow", SINGLE_ROWS, model.scores, lambda of: predict(given.take(of)), [1, 2])
    else:
        refused("Arrow, with categories that are numbers or in an old version", lambda: predict(arrow(model, rows)))
    if VERSION >= REFUSES_UNKNOWN and texts and not has_numbers:
        refused("a category that the model never saw", lambda: predict(arrow(model, model.rows)))
    return count


def refused(what, predict):
    try:
        predict()
    except Exception as error:  # XGBoost raises TypeError, ValueError, NotImplementedError or its own.
        assert any(word in str(error).lower() for word in ("categor", "dictionary")), error
        return
    raise AssertionError(f"{what}: not refused")


def check_explanation(model, booster):
    """SHAP values add up to the margin, one row alone has those that it has among others, and their means are those of
    the evaluation, which the booster computes by itself."""
    codes = model.codes(model.rows)
    margins = booster.predict(matrix(model, codes), output_margin=True)
    for approx in (False, True):
        def contributions(codes):
            return booster.predict(matrix(model, codes), pred_contribs=True, approx_contribs=approx)

        together = contributions(codes)
        assert np.allclose(together.sum(axis=1), margins, atol=1e-5), f"approx {approx}: no sum"
        alone = np.concatenate([contributions(codes[row : row + 1]) for row in range(SINGLE_ROWS)])
        assert np.allclose(alone, together[:SINGLE_ROWS], atol=1e-6), f"approx {approx}: other values for one row"
    tested = pq.read_table(model.folder / "scores.parquet")
    rows = pq.read_table(model.folder / "fitted.parquet").take(tested["row_id"])
    same("evaluation", booster.predict(matrix(model, model.codes(rows))), tested["score"].to_numpy().astype("float32"))
    values = booster.predict(matrix(model, model.codes(rows)), pred_contribs=True)[:, :-1].astype("float64")
    effects = json.loads((model.folder / "evaluation.json").read_text())["features"]
    for name, found in (("mean_abs_shap", np.abs(values).mean(axis=0)), ("mean_shap", values.mean(axis=0))):
        assert np.allclose([effect[name] for effect in effects], found, atol=1e-5), (name, effects, found)


def main(folder):
    models = scores = 0
    for model in random_models.load(folder):
        # With one thread, a call takes a millisecond in place of several.
        booster = xgboost.Booster({"nthread": 1}, model_file=str(model.file))
        parity.check(booster, json.loads((model.folder / "parity_vectors.json").read_text()))
        scores += check_scores(model, booster)
        check_explanation(model, booster)
        models += 1
    print(f"peers: XGBoost {xgboost.__version__} gives {scores} scores of {models} random models as we do")
    assert models == random_models.MODELS


if __name__ == "__main__":
    main(sys.argv[1])
