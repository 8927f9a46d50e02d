"""Scores rows with the model of this bundle, for `mlflow.pyfunc`. Every bundle of a release has the same copy of this file.

Each row gets the score that `model-factory score` gives it when the rows are written to a Parquet file: columns are found by
name, categories have the codes of the model's own list, and what is missing or not in the list is a missing value (NaN).
Rows that cannot be read without doubt are refused.
"""

import json
import os
from collections import Counter

import mlflow.models
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

# The largest difference between a score in parity_vectors.json and the same model's score of that row. Libraries and
# processors differ in the last bit of the exponential function.
NEAR = 1e-6
# Up to here every whole number is exact as a 64-bit float.
EXACT = 2**53


def refuse(why):
    raise MlflowException.invalid_parameter_value(why)


def column_of(rows, name):
    """The column as an Arrow array, where null is a missing value, and NaN as well."""
    if isinstance(rows, pa.Table):
        column = rows.column(name)
    else:
        try:
            column = pa.Array.from_pandas(rows[name])
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            refuse(f"column {name!r} holds values of no one type: {error}")
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type) and not pa.types.is_null(column.type.value_type):
        column = column.cast(column.type.value_type)
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def numbers(name, column):
    """The values of a numeric feature as 32-bit floats."""
    kind = column.type
    if pa.types.is_decimal(kind):
        values = np.array([np.nan if value is None else float(value) for value in column.to_pylist()])
    elif pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        # Not by way of 64-bit floats, which would round twice.
        values = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    else:
        refuse(f"column {name!r} is a numeric feature and cannot be read from {kind}")
    with np.errstate(over="ignore"):
        values = values.astype("float32")
    if np.isinf(values).any():
        refuse(f"column {name!r} holds a value that is infinite as a 32-bit float, in row {int(np.isinf(values).argmax())}")
    return values


def whole_numbers(name, column):
    """The values of a categorical feature as 64-bit integers. pandas makes floats of integers with missing values."""
    if not pa.types.is_floating(column.type):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            refuse(f"column {name!r} is a categorical feature and holds a number of more than 64 bits")
    values = column.to_numpy(zero_copy_only=False).astype("float64")
    missing = np.isnan(values)
    doubtful = ~missing & ((values != np.floor(values)) | (np.abs(values) > EXACT))
    if doubtful.any():
        row = int(doubtful.argmax())
        refuse(
            f"column {name!r} is a categorical feature, and the float {values[row]} in row {row} is no exact whole number;"
            " give integers, as dtype int64, or Int64 where values are missing"
        )
    return pa.array(np.where(missing, 0, values).astype("int64"), mask=missing)


def codes(name, column, known):
    """The codes of the values of a categorical feature. A value that is not known has none, like a missing one."""
    kind = column.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()
    if not (is_text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        refuse(f"column {name!r} is a categorical feature and cannot be read from {kind}")
    if known and is_text != isinstance(known[0], str):
        found, learned = ("text", "numbers") if is_text else ("numbers", "text")
        refuse(f"column {name!r} holds {found}, and the model learned from {learned}")
    values = column.cast(pa.large_string()) if is_text else whole_numbers(name, column)
    found = pc.index_in(values, value_set=pa.array(known, type=values.type))
    return found.cast(pa.float32()).to_numpy(zero_copy_only=False)


def xgboost_model(path, features, categories):
    import xgboost

    # One thread: on a busy machine others make a single row wait, and servers answer many requests at once.
    booster = xgboost.Booster({"nthread": 1}, model_file=path)
    types = ["c" if name in categories else "float" for name in features]

    def score(matrix):
        # The columns are in the model's order already. XGBoost takes not every name.
        rows = xgboost.DMatrix(matrix, feature_types=types, enable_categorical=True, nthread=1)
        return booster.predict(rows, validate_features=False)

    return score


def sklearn_model(path, features, categories):
    import mlflow.sklearn

    model = mlflow.sklearn.load_model(os.path.dirname(path))
    named = hasattr(model, "feature_names_in_")
    return lambda matrix: model.predict_proba(pd.DataFrame(matrix, columns=features) if named else matrix)[:, 1]


def onnx_model(path, features, categories):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def score(matrix):
        # The probabilities are the last output: of fraud alone, or of both classes, which some converters write as maps.
        found = session.run(None, {given.name: matrix})[-1]
        found = [list(row.values()) for row in found] if isinstance(found, list) else found
        return np.asarray(found).reshape(len(matrix), -1)[:, -1]

    return score


MODELS = {".json": xgboost_model, ".skops": sklearn_model, ".pkl": sklearn_model, ".onnx": onnx_model}


class Scorer(PythonModel):
    def load_context(self, context):
        with open(context.artifacts["parity_vectors"], encoding="utf-8") as file:
            parity = json.load(file)
        self.features = parity["features"]
        self.categories = {of["feature"]: of["values"] for of in parity["categories"]}
        path = context.artifacts["model"]
        self.model = MODELS[os.path.splitext(path)[1]](path, self.features, self.categories)
        self.check(parity["vectors"])

    def check(self, vectors):
        """Refuses a library that reads the model otherwise than it was measured, all rows at once or each by itself."""
        rows = pd.DataFrame([row["values"] for row in vectors], columns=self.features, dtype=object)
        expected = np.array([row["score"] for row in vectors], dtype="float32")
        matrix = self.matrix(rows)
        alone = [self.score(matrix[row : row + 1])[0] for row in range(len(matrix))]
        for found in (self.score(matrix), np.array(alone, dtype="float32")):
            wrong = ~(np.abs(found - expected) <= NEAR)
            if wrong.any():
                row = int(wrong.argmax())
                raise MlflowException(
                    f"the model gives row {row} of parity_vectors.json the score {found[row]} and not {expected[row]}:"
                    " the libraries that are installed here do not read it right. See requirements.txt beside the model"
                )

    def predict(self, context, model_input: pd.DataFrame, params=None):
        """One row for each row of `model_input`, with its index, and the column `score`: a probability of fraud."""
        rows = model_input
        if not isinstance(rows, (pd.DataFrame, pa.Table)):
            try:
                rows = pd.DataFrame(rows)
            except (TypeError, ValueError) as error:
                refuse(f"rows are given as a data frame, or as what pandas makes one of: {error}")
        index = None if isinstance(rows, pa.Table) else rows.index
        return pd.DataFrame({"score": self.score(self.matrix(rows))}, index=index)

    def matrix(self, rows):
        """The rows as the model reads them."""
        times = Counter(rows.column_names if isinstance(rows, pa.Table) else rows.columns)
        for name in self.features:
            if times[name] != 1:
                refuse(f"column {name!r} is there {times[name]} times; each of these must be there once: {self.features}")
        matrix = np.full((len(rows), len(self.features)), np.nan, dtype="float32")
        for place, name in enumerate(self.features):
            column = column_of(rows, name)
            if column.null_count == len(column):
                continue
            known = self.categories.get(name)
            matrix[:, place] = numbers(name, column) if known is None else codes(name, column, known)
        return matrix

    def score(self, matrix):
        if not len(matrix):
            return np.empty(0, dtype="float32")
        return np.asarray(self.model(matrix)).astype("float32")


mlflow.models.set_model(Scorer())
