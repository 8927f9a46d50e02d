"""Model Factory beside other libraries on the Fraud Detection Handbook's weeks, each with settings of its own choice.

    pip install -r examples/requirements.txt
    model-factory dev --state-dir target/peers             # prints what to export in another terminal
    python examples/handbook_peers.py TRANSACTIONS.parquet target/peers model-factory

Each model draws CONFIGURATIONS settings at random and takes those with the best mean average precision on the weeks of
SELECTION. Only then it is measured on the weeks of TEST, which start when the last week of SELECTION has ended. The
boosters get the same draws, each in its own terms. Model Factory fits them as a worker does: requests, profiles, runs.
Windows and metrics are handbook.py's, for all alike. What was fitted stays in STATE/fits.jsonl, and is not fitted again;
whoever changes this program takes a new STATE.
"""

import json
import pathlib
import re
import subprocess
import sys
import warnings

import handbook
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from lightgbm import LGBMClassifier
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer, StandardScaler
from xgboost import XGBClassifier

# The data begins on 2018-04-01. In its first week no terminal has a history, so no model learns from it.
SELECTION = pd.to_datetime(["2018-04-22", "2018-04-29"])
TEST = pd.date_range("2018-05-06", periods=8, freq="7D")
CONFIGURATIONS = 12
METRICS = ["ROC AUC", "average precision", "card precision@100"]
OURS, SHIPPED = "Model Factory, chosen", "Model Factory, handbook.yaml"
# The smallest leaf as a sum of hessians and in rows, which is alike where one payment in 200 is a fraud.
LEAVES = {"small": (0.025, 5), "medium": (0.1, 20), "large": (0.5, 100)}
THREADS = 1  # sums in one order: the same numbers each time


def booster_draw(rng):
    return {
        "rounds": int(rng.choice([50, 100])), "seeds": int(rng.choice([1, 3])), "depth": int(rng.integers(3, 9)),
        "eta": round(float(np.exp(rng.uniform(np.log(0.05), np.log(0.3)))), 3), "leaf": str(rng.choice(list(LEAVES))),
        "rows": float(rng.choice([0.5, 0.7, 0.9])), "columns": float(rng.choice([0.5, 0.75, 1.0])),
        "lambda": float(rng.choice([0.1, 1, 10])), "bins": int(rng.choice([256, 1024, 4096, 16384])),
        "leafwise": bool(rng.random() < 0.5),
    }


def forest_draw(rng):
    return {
        "n_estimators": int(rng.choice([50, 100])), "max_depth": [None, 10, 20][rng.integers(3)],
        "min_samples_leaf": int(rng.choice([1, 3, 10])), "max_features": float(rng.choice([0.25, 0.5, 0.75])),
        "class_weight": [None, "balanced_subsample"][rng.integers(2)], "criterion": ["gini", "entropy"][rng.integers(2)],
    }


def logistic_draw(rng):
    return {
        "C": round(float(np.exp(rng.uniform(np.log(1e-4), np.log(100)))), 5), "degree": int(rng.choice([1, 2])),
        "quantiles": bool(rng.random() < 0.5), "class_weight": [None, "balanced"][rng.integers(2)],
    }


def xgboost_terms(draw):
    """XGBoost's parameters, whose names Model Factory's booster has, too."""
    growth = {"grow_policy": "lossguide", "max_leaves": 2 ** draw["depth"], "max_depth": 16}
    return {
        "eta": draw["eta"], "min_child_weight": LEAVES[draw["leaf"]][0], "lambda": draw["lambda"],
        "subsample": draw["rows"], "colsample_bytree": draw["columns"],
        "tree_method": "hist", "max_bin": draw["bins"],
        **(growth if draw["leafwise"] else {"max_depth": draw["depth"]}),
    }


def xgboost(draw, seed):
    return XGBClassifier(n_estimators=draw["rounds"], random_state=seed, n_jobs=THREADS, **xgboost_terms(draw))


def lightgbm(draw, seed):
    return LGBMClassifier(
        n_estimators=draw["rounds"], learning_rate=draw["eta"], num_leaves=2 ** draw["depth"],
        max_depth=-1 if draw["leafwise"] else draw["depth"], min_child_samples=LEAVES[draw["leaf"]][1],
        subsample=draw["rows"], subsample_freq=1, colsample_bytree=draw["columns"], reg_lambda=draw["lambda"],
        max_bin=draw["bins"], random_state=seed, n_jobs=THREADS, verbose=-1,
    )


def hist_gradient_boosting(draw, seed):
    return HistGradientBoostingClassifier(
        max_iter=draw["rounds"], learning_rate=draw["eta"], max_leaf_nodes=2 ** draw["depth"],
        max_depth=None if draw["leafwise"] else draw["depth"], min_samples_leaf=LEAVES[draw["leaf"]][1],
        max_features=draw["columns"], l2_regularization=draw["lambda"], max_bins=255, early_stopping=False,
        random_state=seed,
    )


def forest(draw, seed):
    return RandomForestClassifier(**draw, random_state=seed, n_jobs=THREADS)


def logistic(draw, seed):
    scale = QuantileTransformer(output_distribution="normal", random_state=seed)
    return make_pipeline(
        scale if draw["quantiles"] else StandardScaler(), PolynomialFeatures(draw["degree"], include_bias=False),
        LogisticRegression(C=draw["C"], class_weight=draw["class_weight"], max_iter=500),
    )


PEERS = {
    "XGBoost": (xgboost, booster_draw),
    "LightGBM": (lightgbm, booster_draw),
    "HistGradientBoosting": (hist_gradient_boosting, booster_draw),
    "RandomForest": (forest, forest_draw),
    "logistic regression": (logistic, logistic_draw),
}


def draws(draw):
    rng = np.random.default_rng(20180401)
    return [draw(rng) for _ in range(CONFIGURATIONS)]


class Fits:
    """What was fitted: by model, number of its draw and test week the three metrics."""

    def __init__(self, source, state):
        self.rows, self.state, self.file = handbook.read(source), state, state / "fits.jsonl"
        self.inputs = state / "inputs" / "handbook"
        self.inputs.mkdir(parents=True, exist_ok=True)
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.found = {(model, number, week): metrics for model, number, week, metrics in map(json.loads, lines)}
        self.profile = (handbook.PROFILES / "handbook.yaml").read_text()
        self.features = re.findall(r"- {name: (\w+)", self.profile)

    def missing(self, model, numbers, weeks):
        wanted = [(model, number, f"{week:%Y-%m-%d}") for number in numbers for week in weeks]
        return [key for key in wanted if key not in self.found]

    def add(self, key, test, scores):
        of = [roc_auc_score, average_precision_score]
        metrics = [metric(test["TX_FRAUD"], scores) for metric in of] + [handbook.card_precision(test, scores)]
        self.found[key] = metrics
        with self.file.open("a") as file:
            file.write(json.dumps([*key, metrics]) + "\n")
        print(*key, *(f"{metric:.4f}" for metric in metrics), file=sys.stderr)

    def of(self, model, number, weeks):
        return np.array([self.found[model, number, f"{week:%Y-%m-%d}"] for week in weeks])

    def peer(self, model, numbers, weeks):
        make, draw = PEERS[model]
        for key in self.missing(model, numbers, weeks):
            train, test = handbook.windows(self.rows, pd.Timestamp(key[2]))
            settings, margins = draws(draw)[key[1]], []
            for seed in range(settings.get("seeds", 1)):
                fitted = make(settings, seed).fit(train[self.features], train["TX_FRAUD"])
                scores = fitted.predict_proba(test[self.features])[:, 1].astype(float)
                margins.append(logit(np.clip(scores, 1e-9, 1 - 1e-9)))
            self.add(key, test, np.mean(margins, axis=0))

    def ours(self, binary, model, numbers, weeks):
        """Number -1 is the profile as it is shipped."""
        missing, requests = self.missing(model, numbers, weeks), []
        for _, number, week in missing:
            start, profile = pd.Timestamp(week), "shipped" if number < 0 else f"draw-{number}"
            data = self.inputs / f"{start:%Y%m%d}.parquet"
            if not data.exists():
                near = (self.rows["TX_DATETIME"] - start).between(-2 * handbook.WEEK, handbook.WEEK, inclusive="left")
                handbook.observed(self.rows[near]).to_parquet(data, index=False)
            content = (data.read_bytes(), pq.read_metadata(data).num_rows)
            manifest = handbook.manifest(start, f"handbook/{data.name}", *content)
            data.with_suffix(".json").write_text(json.dumps(manifest))
            (self.inputs / f"{profile}.yaml").write_text(self.profile if number < 0 else self.profile_of(number))
            requests.append(handbook.request(start, profile))
        if not missing:
            return
        gate = (handbook.PROFILES / "handbook_gate.yaml").read_text()
        (self.inputs / "handbook_gate.yaml").write_text(gate)
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        # Also a model that the gate refuses is measured; the table needs a report of every run.
        subprocess.run([binary, "submit", "-", "--wait", "--timeout", "14400"], input=lines, text=True, stdout=sys.stderr)
        runs = dict(self.runs())
        for key, request in zip(missing, requests):
            _, test = handbook.windows(self.rows, pd.Timestamp(key[2]))
            run = runs.get((request["training_config_ref"], request["dataset_manifest_refs"][0]))
            assert run, f"{request['request_id']} made no run: `submit` and `runs explain` say why"
            scores = pd.read_parquet(run / "model" / "scores.parquet").set_index("row_id")["score"]
            assert len(scores) == len(test), f"{key}: Model Factory measured other rows"
            self.add(key, test, scores.loc[test["TRANSACTION_ID"]].to_numpy().astype(float))

    def profile_of(self, number):
        draw = draws(booster_draw)[number]
        parameters = {"rounds": draw["rounds"], "seeds": draw["seeds"], **xgboost_terms(draw)}
        return re.sub(r"parameters: {.*}", f"parameters: {json.dumps(parameters)}", self.profile)

    def runs(self):
        """The folder of each measured run by its profile and its manifest."""
        evidence = self.state / "evidence"
        for file in evidence.glob(f"{handbook.PLATFORM_RUN}/mf/train_runs/*/eval/eval_report.json"):
            report = json.loads(file.read_text())
            plan = json.loads((evidence / report["provenance"]["resolved_train_plan"]["ref"]).read_text())
            yield (plan["training_profile"]["ref"], report["dataset_manifest_refs"][0]), file.parents[1]


def with_error(values):
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}"


def main(source, state, binary):
    fits, chosen = Fits(pathlib.Path(source), pathlib.Path(state)), {}
    fit = {OURS: lambda *what: fits.ours(binary, *what), **{peer: lambda *what: fits.peer(*what) for peer in PEERS}}
    for model in fit:
        fit[model](model, range(CONFIGURATIONS), SELECTION)
        precision = [fits.of(model, number, SELECTION)[:, 1].mean() for number in range(CONFIGURATIONS)]
        chosen[model] = int(np.argmax(precision))
        settings = draws(PEERS[model][1] if model in PEERS else booster_draw)[chosen[model]]
        print(f"{model}: {max(precision):.4f} with {settings}")
    for model in fit:
        fit[model](model, [chosen[model]], TEST)
    fits.ours(binary, SHIPPED, [-1], [*SELECTION, *TEST])
    chosen[SHIPPED] = -1
    print("shipped on the weeks of selection:", fits.of(SHIPPED, -1, SELECTION).mean(axis=0).round(4))
    tested = {model: fits.of(model, number, TEST) for model, number in chosen.items()}
    print("| |", *(f" {metric} |" for metric in METRICS), "\n|---|---|---|---|")
    for model, values in tested.items():
        print(f"| {model} |", *(f" {with_error(of)[1:]} |" for of in values.T))
    print("\n| less the best peer |", *(f" {metric} | better in |" for metric in METRICS), "\n|---|---|---|---|---|---|---|")
    for model in (OURS, SHIPPED):
        cells = []
        for column, metric in enumerate(METRICS):
            best = max(PEERS, key=lambda peer: tested[peer][:, column].mean())
            difference = tested[model][:, column] - tested[best][:, column]
            cells.append(f" {with_error(difference)} ({best}) | {(difference > 0).sum()} of {len(TEST)} |")
        print(f"| {model} |", *cells)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    main(*sys.argv[1:])
