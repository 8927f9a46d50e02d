"""MLflow gives every row exactly the score that `model-factory score` gives it, by `mlflow.pyfunc`, by its scoring server
and by `mlflow.xgboost`, on random models and rows in each type of column.

    python mlflow_rows.py STATE_DIR FOLDER

STATE_DIR is the demo's, FOLDER is what random_models.py wrote.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import mlflow.exceptions
import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pandas as pd
import pyarrow as pa
import random_models
from bundle import published_run
from peers import BATCHES, matrix, same

NUMERIC = ("fraction", "whole", "flag", "present")


def forms(table):
    """The same rows in columns of different types."""
    frame = table.to_pandas()
    numeric = [name for name in frame.columns if name.startswith(NUMERIC)]
    integers = [name for name in frame.columns if name.startswith(("code", "boolean"))]
    yield "pandas", frame
    yield "objects", frame.astype(object)
    yield "nullable", frame.convert_dtypes()
    yield "Arrow's types", table.to_pandas(types_mapper=pd.ArrowDtype)
    yield "categoricals", frame.astype("category")
    yield "32-bit floats", frame.astype({name: "float32" for name in numeric})
    yield "64-bit floats", frame.astype({name: "float64" for name in numeric})
    yield "floats for integers", frame.astype({name: "float64" for name in integers})
    reordered = frame[list(reversed(frame.columns))].assign(more="x")
    yield "another order and index", reordered.set_index(np.arange(len(frame)) * 2)
    yield "an Arrow table", table


def check_pyfunc(model, rows, expected):
    count = 0
    for what, form in forms(rows):
        found = model.predict(form)
        assert list(found.columns) == ["score"] and found["score"].dtype == "float32"
        assert isinstance(form, pa.Table) or found.index.equals(form.index), what
        count += same(what, found["score"].to_numpy(), expected)
    frame = rows.to_pandas()

    def predict(part):
        return model.predict(frame.iloc[part])["score"].to_numpy()

    for size in BATCHES:
        for start in (0, 100):
            part = np.arange(start, start + size)
            count += same(f"{size} rows", predict(part), expected[part])
    for row in range(20):
        one = pd.DataFrame(frame.iloc[[row]].to_dict("records"))
        count += same("one row", predict([row]), expected[[row]])
        count += same("one row, typed anew", model.predict(one)["score"].to_numpy(), expected[[row]])
    parts = [np.arange(start, start + 30) for start in range(0, 270, 9)]
    with ThreadPoolExecutor(8) as threads:
        for part, found in zip(parts, threads.map(predict, parts)):
            count += same("8 threads", found, expected[part])
    repeated = np.full(65, 7)
    return count + same("a row 65 times", predict(repeated), expected[repeated])


def check_values(bundle):
    """Values that random models do not have."""
    spec = importlib.util.spec_from_file_location("program", bundle / "model_factory_pyfunc.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    large = [-(2**63), 2**53, 2**53 + 1, 2**63 - 1]
    for values, known, codes in (
        (["NA", "", "001", None, "1", "é"], ["", "001", "NA", "é"], [2, 0, 1, np.nan, np.nan, 3]),
        ([*reversed(large), None, 2**53 + 2], large, [3, 2, 1, 0, np.nan, np.nan]),
        ([True, False, None], [0, 1], [1, 0, np.nan]),
        (["a"], [], [np.nan]),
    ):
        found = program.codes("x", pa.array(values), known)
        assert np.array_equal(found, np.array(codes, "float32"), equal_nan=True), (values, found)
    # The integer is above the middle of two 32-bit floats, and is the middle once it is a 64-bit float.
    above = 2**60 + 2**36 + 1
    for values, numbers in (([above, None], [2**60 + 2**37, np.nan]), ([0.1, None], [0.1, np.nan]), ([True], [1])):
        found = program.numbers("x", pa.array(values))
        assert np.array_equal(found, np.array(numbers, "float32"), equal_nan=True), (values, found)


def refused(model, rows, says):
    try:
        model.predict(rows)
    except mlflow.exceptions.MlflowException as error:
        assert error.error_code == "INVALID_PARAMETER_VALUE" and says in error.message, error
        return
    raise AssertionError(f"MLflow took rows that the model cannot read: {says}")


def check_refusals(model, rows):
    kinds = ("text", "code", "fraction")
    text, code, number = (next(name for name in rows.columns if name.startswith(kind)) for kind in kinds)
    refused(model, rows.drop(columns=text), f"{text!r} is there 0 times")
    refused(model, pd.concat([rows, rows[[text]]], axis=1), f"{text!r} is there 2 times")
    refused(model, rows.assign(**{number: "12"}), f"{number!r} is a numeric feature")
    refused(model, rows.assign(**{number: pd.Timestamp("2026-01-01")}), f"{number!r} is a numeric feature")
    refused(model, rows.assign(**{number: 1e300}), "infinite")
    refused(model, rows.assign(**{text: 5}), f"{text!r} holds numbers, and the model learned from text")
    refused(model, rows.assign(**{code: "5411"}), f"{code!r} holds text, and the model learned from numbers")
    refused(model, rows.assign(**{code: 5411.5}), "no exact whole number")
    refused(model, rows.assign(**{code: 2.0**53 + 2}), "no exact whole number")
    refused(model, rows.assign(**{text: [*rows[text][1:], 5]}), f"{text!r} holds values of no one type")
    refused(model, rows.to_numpy(), "is there 0 times")


@contextlib.contextmanager
def served(bundle):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", bundle, "--env-manager", "local", "-p", str(port)]
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "UVICORN_LOG_LEVEL": "warning"}
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        for _ in range(600):
            assert server.poll() is None, "the scoring server ended"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def ask(address, body, kind="application/json"):
    """The status, and the scores or what is wrong."""
    request = urllib.request.Request(address, data=body.encode(), headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, np.array([row["score"] for row in json.load(answer)["predictions"]], "float32")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_server(bundle, rows, expected):
    count, names = 0, rows.column_names
    text = next(name for name in names if name.startswith("text"))
    with served(bundle) as address:
        for part in [np.arange(size) for size in BATCHES] + [np.array([row]) for row in range(10)]:
            table = rows.take(part)
            bodies = {
                "dataframe_split": {"columns": names, "data": [list(record.values()) for record in table.to_pylist()]},
                "dataframe_records": table.to_pylist(),
                "inputs": table.to_pydict(),
            }
            for form, body in bodies.items():
                status, found = ask(address, json.dumps({form: body}))
                assert status == 200, found
                count += same(f"server, {form}", found, expected[part])
            status, found = ask(address, table.to_pandas().to_csv(index=False), "text/csv")
            assert status == 200, found
            count += same("server, CSV", found, expected[part])
        status, found = ask(address, json.dumps({"dataframe_records": rows.drop_columns(text).slice(0, 2).to_pylist()}))
        assert status == 400 and f"{text!r} is there 0 times" in found, found
        status, found = ask(address, rows.to_pandas().assign(**{text: "001"}).to_csv(index=False), "text/csv")
        assert status == 400 and f"{text!r} holds numbers, and the model learned from text" in found, found
    return count


def main(state, folder):
    models = scores = 0
    with tempfile.TemporaryDirectory() as work:
        for model in random_models.load(folder):
            # What MLflow reads besides the model is the same in every bundle with a model of this format.
            bundle = pathlib.Path(work) / str(models)
            shutil.copytree(published_run(state) / "bundle", bundle)
            for name in ("model.json", "parity_vectors.json"):
                shutil.copy(model.folder / name, bundle)
            loaded = mlflow.pyfunc.load_model(str(bundle))
            scores += check_pyfunc(loaded, model.rows, model.scores)
            booster = mlflow.xgboost.load_model(str(bundle))
            scores += same("mlflow.xgboost", booster.predict(matrix(model, model.codes(model.rows))), model.scores)
            if models == 0:
                check_values(bundle)
                check_refusals(loaded, model.rows.to_pandas())
                scores += check_server(bundle, model.rows, model.scores)
            models += 1
    print(f"mlflow: {scores} scores of {models} random models are ours, by pyfunc, server and booster")
    assert models == random_models.MODELS


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
