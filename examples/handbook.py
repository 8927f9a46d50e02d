"""The Fraud Detection Handbook's protocol on weeks of its data, and what Python makes of the same windows.

    pip install pandas pyarrow scikit-learn xgboost-cpu
    model-factory dev --state-dir target/handbook            # prints what to export in another terminal
    python examples/handbook.py prepare TRANSACTIONS.parquet target/handbook [WEEK…]
    model-factory submit target/handbook/requests.jsonl --wait
    python examples/handbook.py compare TRANSACTIONS.parquet target/handbook

TRANSACTIONS.parquet holds the book's transactions with its transformed features, columns as published; see
https://github.com/Fraud-Detection-Handbook. WEEK is the first day of a test week; by default the one that the book
publishes, 2018-08-08, with 58,264 rows, 385 frauds and .870, .606 and .291 for the logistic regression.

The book learns of frauds once a day: all those of a day when seven more days have passed. `prepare` writes that as a
column, and the profile's `exclude_known_entity` then leaves the book's rows in the test week. `compare` checks each.
"""

import hashlib
import json
import pathlib
import shutil
import sys

import pandas as pd
import pyarrow.parquet as pq

DAY, WEEK = pd.Timedelta(days=1), pd.Timedelta(days=7)
PROFILES = pathlib.Path(__file__).parent / "profiles"
PLATFORM_RUN = "platform_handbook"


def instant(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(start, reference, data, rows):
    """The same rows for every week; labels are known up to a week after the week's end."""
    digest = hashlib.sha256(data).hexdigest()
    return {
        "schema_version": "learning.dataset_manifest.v0",
        "dataset_manifest_id": f"dm_handbook_{start:%Y%m%d}",
        "dataset_fingerprint": f"sha256:{digest}",
        "platform_run_id": PLATFORM_RUN,
        "replay_basis": [{
            "topic": "handbook", "partition": 0, "offset_kind": "row", "start_offset": "0",
            "end_offset": str(rows - 1),
        }],
        "label_basis": {
            "label_asof_utc": instant(start + 2 * WEEK), "resolution_rule": "known_after_7_days", "maturity_days": 7,
        },
        "feature_definition_set": {"feature_set_id": "fraud-detection-handbook", "feature_set_version": "v1"},
        "provenance": {"ofs_code_release_id": "handbook", "config_revision": "as-published"},
        "materializations": [{
            "ref": reference, "format": "parquet", "sha256": digest, "bytes": len(data), "rows": rows,
            "columns": {
                "event_time": "TX_DATETIME", "label": "TX_FRAUD", "row_id": "TRANSACTION_ID",
                "label_observed_time": "TX_FRAUD_OBSERVED", "entities": ["CUSTOMER_ID", "TERMINAL_ID"],
            },
        }],
    }


def request(start, profile="handbook"):
    return {
        "schema_version": "learning.mf_train_build_request.v0",
        "request_id": f"req-{profile}-{start:%Y%m%d}",
        "intent_kind": "candidate_eval",
        "platform_run_id": PLATFORM_RUN,
        "dataset_manifest_refs": [f"handbook/{start:%Y%m%d}.json"],
        "training_config_ref": f"handbook/{profile}.yaml",
        "governance_profile_ref": "handbook/handbook_gate.yaml",
        "requester_principal": "user:handbook",
        "target_scope": {"environment": "dev", "mode": "fraud", "bundle_slot": "handbook"},
        "policy_revision": "r1",
        "config_revision": "r1",
        "mf_code_release_id": "dev",
    }


def read(source):
    rows = pd.read_parquet(source)
    return rows.assign(TX_DATETIME=rows["TX_DATETIME"].dt.tz_localize(None))


def observed(rows):
    return rows.assign(TX_FRAUD_OBSERVED=rows["TX_DATETIME"].dt.floor("D") + DAY + WEEK)


def prepare(source, state, weeks):
    inputs = state / "inputs" / "handbook"
    inputs.mkdir(parents=True, exist_ok=True)
    rows = observed(read(source))
    rows.to_parquet(inputs / "transactions.parquet", index=False)
    for profile in PROFILES.glob("handbook*.yaml"):
        shutil.copyfile(profile, inputs / profile.name)
    data = (inputs / "transactions.parquet").read_bytes()
    requests = []
    for start in map(pd.Timestamp, weeks or ["2018-08-08"]):
        document = manifest(start, "handbook/transactions.parquet", data, len(rows))
        (inputs / f"{start:%Y%m%d}.json").write_text(json.dumps(document, indent=2))
        requests.append(json.dumps(request(start)))
    (state / "requests.jsonl").write_text("\n".join(requests) + "\n")


def card_precision(test, scores, k=100):
    """Per day the share of compromised cards among the k cards with the highest score; a found card leaves."""
    found, precisions = set(), []
    rows = test.assign(score=scores, day=test["TX_DATETIME"].dt.floor("D"))
    for _, of_day in rows.groupby("day"):
        of_day = of_day[~of_day["CUSTOMER_ID"].isin(found)]
        cards = of_day.groupby("CUSTOMER_ID").agg(score=("score", "max"), fraud=("TX_FRAUD", "max"))
        best = cards.sort_values("score", ascending=False, kind="stable").head(k)
        compromised = best.index[best["fraud"] == 1]
        precisions.append(len(compromised) / k)
        found.update(compromised)
    return sum(precisions) / len(precisions)


def windows(rows, start):
    """Train week, and the test week: each day without the cards whose fraud was known when the day began."""
    day, fraud = rows["TX_DATETIME"].dt.floor("D"), rows["TX_FRAUD"] == 1
    in_train = (day >= start - 2 * WEEK) & (day < start - WEEK)
    known, test = set(rows.loc[in_train & fraud, "CUSTOMER_ID"]), []
    for today in pd.date_range(start, periods=7):
        known.update(rows.loc[fraud & (day == today - WEEK - DAY), "CUSTOMER_ID"])
        test.append(rows[(day == today) & ~rows["CUSTOMER_ID"].isin(known)])
    return rows[in_train], pd.concat(test)


def models():
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier

    return {
        "scikit-learn LogisticRegression": make_pipeline(StandardScaler(), LogisticRegression(random_state=0)),
        "XGBoost": XGBClassifier(n_estimators=100, max_depth=3, learning_rate=0.1, tree_method="hist"),
        "scikit-learn HistGradientBoosting": HistGradientBoostingClassifier(
            max_iter=100, max_depth=3, learning_rate=0.1, early_stopping=False, random_state=0
        ),
        "scikit-learn RandomForest": RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=-1),
    }


def reports(state):
    """By first day of the test week: metrics and the ids of the rows that were measured."""
    for run in state.glob(f"evidence/{PLATFORM_RUN}/mf/train_runs/*"):
        report = json.loads((run / "eval" / "eval_report.json").read_text())
        measured = pq.read_table(run / "model" / "scores.parquet")["row_id"].to_pylist()
        yield pathlib.Path(report["dataset_manifest_refs"][0]).stem, report["metrics"], measured


def compare(source, state, _):
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = read(source)
    print("| test week from | model | ROC AUC | average precision | card precision@100 |")
    print("|---|---|---|---|---|")
    for week, report, measured in sorted(reports(state), key=lambda of_week: of_week[0]):
        train, test = windows(rows, pd.Timestamp(week))
        assert sorted(measured) == sorted(test["TRANSACTION_ID"]), f"{week}: Model Factory measured other rows"
        week = f"{pd.Timestamp(week):%Y-%m-%d}"
        print(f"{week}: {len(test)} rows, {test['TX_FRAUD'].sum()} frauds", file=sys.stderr)
        features = [effect["feature"] for effect in report["features"]]
        ours = [report["scores"][name]["value"] for name in ("auc_roc", "average_precision", "card_precision_at_100")]
        print(f"| {week} | Model Factory |" + "".join(f" {value:.4f} |" for value in ours))
        for name, model in models().items():
            scores = model.fit(train[features], train["TX_FRAUD"]).predict_proba(test[features])[:, 1]
            found = [
                roc_auc_score(test["TX_FRAUD"], scores),
                average_precision_score(test["TX_FRAUD"], scores),
                card_precision(test, scores),
            ]
            print(f"| {week} | {name} |" + "".join(f" {value:.4f} |" for value in found))


if __name__ == "__main__":
    command, source, state, *weeks = sys.argv[1:]
    {"prepare": prepare, "compare": compare}[command](pathlib.Path(source), pathlib.Path(state), weeks)
