"""Random models that the trainer's child fits, and random rows with the scores that `model-factory score` gives them.

    python random_models.py BINARY STATE_DIR FOLDER

writes them into a new FOLDER. STATE_DIR is the demo's, whose plan they vary. The features are numbers (fractions, whole numbers, booleans) and categories (text, text beyond ASCII, whole numbers,
booleans). Values are missing; the rows to score also hold categories that the model never saw.
"""

import copy
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bundle import published_run

MODELS = 12
FITTED_ROWS = 900
SCORED_ROWS = 320
TEXTS = ["a", "b", "Zürich", "zoo", "Ärger", "été", "ß", "日本", "Ωmega", "🙂", "~", "quo'te\"", "a b", "A", "z"]


@dataclasses.dataclass
class RandomModel:
    folder: pathlib.Path
    """What the child that fitted the model left."""
    features: list
    categories: dict
    """The values of each categorical feature, in the order of their codes."""
    rows: pa.Table
    scores: np.ndarray
    """The score of each of `rows`, as 32-bit floats."""

    @property
    def file(self):
        return self.folder / "model.json"

    @property
    def names(self):
        return [feature["name"] for feature in self.features]

    def codes(self, rows):
        """The rows as the model reads them: a category is its code, an unknown one is missing."""
        columns = []
        for name in self.names:
            values = rows[name].to_pylist()
            if name in self.categories:
                # As keys of a dictionary, False and True are 0 and 1.
                codes = {value: code for code, value in enumerate(self.categories[name])}
                values = [codes.get(value) for value in values]
            columns.append(np.array([np.nan if value is None else value for value in values], dtype="float32"))
        return np.stack(columns, axis=1)


def column(rng, kind, count):
    """Values and what each adds to the logit of the label."""
    if kind == "fraction":
        values = rng.normal(size=count) * 10 ** rng.uniform(-3, 6)
        effects = np.sign(values) * rng.normal()
        return pa.array(values), effects
    if kind in ("whole", "flag"):
        values = rng.integers(0, 2 if kind == "flag" else 40, count)
        return pa.array(values.astype(bool) if kind == "flag" else values), values / values.max() * rng.normal() * 2
    if kind == "present":
        return pa.array(np.full(count, rng.choice([1.0, -0.25, 5e8]))), np.full(count, rng.normal() * 2)
    known = {
        "text": [f"shop {number}" for number in range(rng.integers(2, 60))],
        "unicode": [str(text) for text in rng.permutation(TEXTS)[: rng.integers(2, len(TEXTS) + 1)]],
        "code": [int(number) for number in rng.choice(np.arange(-9, 10_000), rng.integers(2, 40), replace=False)],
        "boolean": [False, True],
    }[kind]
    picked = rng.integers(0, len(known), count)
    return pa.array([known[index] for index in picked]), rng.normal(size=len(known))[picked] * 1.5


KINDS = ["fraction", "whole", "flag", "present", "text", "unicode", "code", "boolean"]
UNSEEN = {"text": "never seen", "unicode": "nie gesehen, ö", "code": 77_777}


def table(rng, kinds):
    """Rows with ids, labels and features, a share of whose values is missing."""
    count = FITTED_ROWS + SCORED_ROWS
    columns, logit = {}, rng.normal(size=count) * 0.3 - 1
    for index, kind in enumerate(kinds):
        values, effects = column(rng, kind, count)
        missing = rng.random(count) < rng.choice([0, 0.05, 0.4])
        columns[f"{kind} {index}"] = pa.array(
            [None if gone else value for gone, value in zip(missing, values.to_pylist())], values.type
        )
        logit = logit + np.where(missing, 0.4, effects)
    label = rng.random(count) < 1 / (1 + np.exp(-logit))
    return pa.table({"id": np.arange(count), "label": label.astype("int64"), **columns})


def with_unseen(rng, rows, kinds):
    """The rows, with values that the model never saw in one row of twelve."""
    for index, kind in enumerate(kinds):
        if kind in UNSEEN:
            name = f"{kind} {index}"
            values = [UNSEEN[kind] if rng.random() < 1 / 12 else value for value in rows[name].to_pylist()]
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))
    return rows


def run(binary, step, folder, job):
    (folder / "job.json").write_text(json.dumps(job))
    subprocess.run([binary, step, str(folder), str(os.getpid())], check=True, stdout=subprocess.DEVNULL)
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished", result


def fit(binary, base_plan, folder, rng, kinds):
    """Fits a model in the folder. Returns rows to score."""
    rows = table(rng, kinds)
    pq.write_table(rows.slice(0, FITTED_ROWS), folder / "fitted.parquet")
    plan = copy.deepcopy(base_plan)
    plan["features"] = [
        {"name": name, "type": "numeric" if kind in ("fraction", "whole", "flag", "present") else "categorical"}
        for name, kind in zip(rows.column_names[2:], kinds)
    ]
    plan["columns"] = {"row_id": "id", "label": "label", "entities": []}
    plan["files"][0]["rows"] = FITTED_ROWS
    plan["split"] = {"strategy": "stratified_random", "train": 0.6, "validation": 0.2, "test": 0.2}
    plan["leakage"] = {"allow_repeated_content": True, "max_single_feature_auc": {"off": "random rows"}}
    plan["evaluation"] = {**plan["evaluation"], "slices": [], "min_rows_per_class": 1}
    method = str(rng.choice(["hist", "approx", "exact"]))
    plan["algorithm"]["parameters"].update(
        tree_method=method, max_bin=int(rng.choice([16, 1_024, 65_535])), seeds=int(rng.integers(1, 4)), subsample=0.8,
        grow_policy="depthwise" if method == "exact" else str(rng.choice(["depthwise", "lossguide"])),
        rounds=int(rng.integers(1, 60)), max_depth=int(rng.integers(1, 8)), eta=float(rng.choice([0.1, 0.3, 1.0])),
        min_child_weight=float(rng.choice([0.0, 1.0, 5.0])), scale_pos_weight=float(rng.choice([1.0, 3.7])),
    )
    job = {"plan": plan, "files": [str(folder / "fitted.parquet")], "limits": plan["limits"], "threads": 2}
    run(binary, "trainer-child", folder, job)
    return with_unseen(rng, rows.slice(FITTED_ROWS).drop_columns(["id", "label"]), kinds)


def score(binary, folder, rows):
    """Scores the rows with the model of the folder."""
    own = folder / "scored"
    own.mkdir()
    shutil.copy(folder / "model.json", own)
    pq.write_table(rows, own / "rows.parquet")
    plan = json.loads((folder / "job.json").read_text())["plan"]
    job = {
        "model_sha256": hashlib.sha256((own / "model.json").read_bytes()).hexdigest(), "features": plan["features"],
        "parity": json.loads((folder / "parity_vectors.json").read_text()), "file": str(own / "rows.parquet"),
        "ids": {"name": "none", "required": False}, "about": {}, "limits": plan["limits"],
    }
    run(binary, "trainer-score", own, job)


def load(folder):
    """The models that were written into the folder."""
    for own in sorted(pathlib.Path(folder).iterdir(), key=lambda own: int(own.name)):
        features = json.loads((own / "job.json").read_text())["plan"]["features"]
        vectors = json.loads((own / "parity_vectors.json").read_text())
        scores = pq.read_table(own / "scored" / "scores.parquet")["score"].to_numpy()
        yield RandomModel(
            own, features, {of["feature"]: of["values"] for of in vectors["categories"]},
            pq.read_table(own / "scored" / "rows.parquet"), scores.astype("float32"),
        )


def main(binary, state, folder):
    seed = random.randrange(2**32)
    print(f"random models: seed {seed}")
    binary = pathlib.Path(binary).resolve()
    base_plan = json.loads((published_run(pathlib.Path(state)) / "bundle" / "resolved_train_plan.json").read_text())
    for index in range(MODELS):
        rng = np.random.default_rng([seed, index])
        own = pathlib.Path(folder).resolve() / str(index)
        own.mkdir(parents=True)
        # The first model has every kind of feature.
        kinds = KINDS if index == 0 else [str(kind) for kind in rng.choice(KINDS, rng.integers(1, 8))]
        score(binary, own, fit(binary, base_plan, own, rng, kinds))


if __name__ == "__main__":
    main(*sys.argv[1:])
