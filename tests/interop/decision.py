"""The decision report of a bundle, computed once more: XGBoost scores both windows, NumPy and SciPy do the rest.

    python decision.py BINARY STATE_DIR
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xgboost
from bundle import published_run
from reference_intervals import variance, wilson
from scipy import stats

DAY = pd.Timedelta(days=1)
FEWEST_UNITS, FEWEST_EFFECTIVE = 20, 10


class Window:
    """The rows of a window that are measured on, with the scores that XGBoost gives them."""

    def __init__(self, rows, plan, window, booster):
        columns = plan["columns"]
        at = pd.to_datetime(rows[columns["event_time"]], utc=True)
        self.start, end = (pd.Timestamp(window[edge]) for edge in ("start", "end"))
        rows = rows[known_entities(rows, plan, at) & (at >= self.start) & (at < end)]
        names = [feature["name"] for feature in plan["features"]]
        matrix = xgboost.DMatrix(rows[names].astype("float32"), feature_names=names)
        self.scores = booster.predict(matrix).astype("float64")
        self.labels = rows[columns["label"]].to_numpy(dtype=bool)
        self.amounts = rows[columns["amount"]["column"]].to_numpy(dtype="float64") if "amount" in columns else None
        self.days = (end - self.start) / DAY
        self.day = ((pd.to_datetime(rows[columns["event_time"]], utc=True) - self.start) // DAY).to_numpy(dtype=int)
        cluster = plan["evaluation"]["intervals"]["cluster"]
        self.units = np.arange(len(rows)) if isinstance(cluster, dict) or cluster is None else np.unique(rows[cluster], return_inverse=True)[1]


def known_entities(rows, plan, at):
    """False for a row whose entity was already known as fraud when it happened."""
    entity = plan["split"].get("exclude_known_entity")
    if entity is None:
        return np.ones(len(rows), dtype=bool)
    columns = plan["columns"]
    frauds = rows[columns["label"]].to_numpy(dtype=bool) & (at >= pd.Timestamp(plan["split"]["train"]["start"])).to_numpy()
    observed = columns.get("label_observed_time")
    known = pd.to_datetime(rows[observed], utc=True) if observed else at + plan["split"]["delay_days"] * DAY
    known = np.maximum(known, at + pd.Timedelta(microseconds=1))
    since = known[frauds].groupby(rows[entity][frauds]).min()
    return (~(rows[entity].map(since) <= at)).to_numpy()


def threshold(target, window, cost):
    """The score that meets the target, by trying each."""
    kind, bound = next(iter(target.items())) if isinstance(target, dict) else (target, None)
    levels = np.unique(window.scores)[::-1]
    flagged = [window.scores >= level for level in levels]
    alerts, hits = (np.array([of(flag) for flag in flagged]) for of in (np.sum, lambda flag: (flag & window.labels).sum()))
    if kind == "min_cost":
        none = cost["loss_share"] * window.amounts[window.labels].sum()
        costs = np.array([total_cost(window, flag, cost).sum() for flag in flagged])
        return levels[costs.argmin()] if costs.min() < none else None
    meets = {
        "alerts_per_day": lambda: alerts <= bound * window.days,
        "fpr": lambda: (alerts - hits) / (~window.labels).sum() <= bound,
        "precision": lambda: hits / alerts >= bound,
        "recall": lambda: hits / window.labels.sum() >= bound,
    }[kind]()
    found = levels[meets]
    return None if len(found) == 0 else found[0 if kind == "recall" else -1]


def total_cost(window, flagged, cost):
    missed = np.where(window.labels & ~flagged, window.amounts, 0)
    return cost["review"] * flagged + cost["friction"] * (flagged & ~window.labels) + cost["loss_share"] * missed


def effective(weights, units):
    sums = np.bincount(units, weights=weights)
    sums = sums[sums > 0]
    return len(sums), sums.sum() ** 2 / (sums**2).sum() if len(sums) else 0


def share(window, weights, hits, evidence):
    """A share of weights, and Wilson's interval with the variance over entities."""
    value, whole = (weights * hits).sum() / weights.sum(), weights.sum()
    units, known = effective(evidence, window.units)
    if units < FEWEST_UNITS or known < FEWEST_EFFECTIVE:
        return value, None
    moved = np.bincount(window.units, weights=weights * (hits - value) / whole)
    have = effective(weights, window.units)[0]
    spread = have / (have - 1) * (moved**2).sum()
    t = stats.t.ppf(0.975, min(max(known - 1, 1), 1000))
    return value, wilson(value, spread, t, whole**2 / (weights**2).sum())


def of_labels(window, weights, hits, evidence):
    """Precision and recall have factors of their own for frauds and for good payments."""
    value, whole = (weights * hits).sum() / weights.sum(), weights.sum()
    frauds, known = effective(window.labels.astype(float), window.units)
    if min(frauds, effective(evidence, window.units)[0]) < FEWEST_UNITS or min(known, effective(evidence, window.units)[1]) < FEWEST_EFFECTIVE:
        return value, None
    t = stats.t.ppf(0.975, min(max(known - 1, 1), 1000))
    moved = weights * (hits - value) / whole
    return value, wilson(value, variance(moved, window.labels, window.units, np.ones(len(moved))), t, whole)


def per_day(window, values):
    return values.sum() / window.days, None


def measured(window, flagged, cost):
    labels, good = window.labels.astype(float), (~window.labels).astype(float)
    alerts = flagged.astype(float)
    found = {
        "alerts_per_day": per_day(window, alerts),
        "alerts_worst_day": (np.bincount(window.day, weights=alerts).max(), None),
        "fpr": ((good * alerts).sum() / good.sum(), None),
        "precision": of_labels(window, alerts, labels, alerts),
        "recall": of_labels(window, labels, alerts, labels),
    }
    if window.amounts is not None:
        of_frauds, of_flagged = window.amounts * labels, window.amounts * alerts
        found["value_detection_rate"] = share(window, of_frauds, alerts, of_frauds)
        found["amount_precision"] = share(window, of_flagged, labels, of_flagged)
        found["missed_amount_per_day"] = per_day(window, of_frauds * ~flagged)
    if cost:
        found["cost_per_day"] = per_day(window, total_cost(window, flagged, cost))
    return found


def equal(name, ours, theirs):
    assert abs(ours - theirs) <= 1e-9 * max(1, abs(theirs)), f"{name}: {ours} is not {theirs}"


def check_points(plan, report, validation, test):
    cost, compared, intervals = plan["evaluation"].get("cost"), 0, 0
    assert len(report["operating_points"]) >= 2
    for point in report["operating_points"]:
        chosen = threshold(point["target"], validation, cost)
        assert chosen == point["threshold"], f"{point['name']}: {point['threshold']} is not {chosen}"
        for ours, window, has_intervals in ((point["validation"], validation, False), (point["test"], test, True)):
            flagged = window.scores >= chosen
            below = window.scores[~flagged]
            counts = (flagged.sum(), (flagged & window.labels).sum(), (window.scores == chosen).sum(), (below == below.max()).sum())
            assert counts == tuple(ours[name] for name in ("alerts", "hits", "rows_at_threshold", "rows_at_next_score")), counts
            theirs = measured(window, flagged, cost)
            assert set(theirs) == set(ours["metrics"])
            for name, (value, interval) in theirs.items():
                metric = ours["metrics"][name]
                equal(name, metric["value"], value)
                compared += 1
                assert ("interval" in metric) == (has_intervals and interval is not None), (name, metric)
                if "interval" in metric:
                    equal(name, metric["interval"]["low"], interval[0])
                    equal(name, metric["interval"]["high"], interval[1])
                    intervals += 1
    for ours, window in ((report["windows"]["validation"], validation), (report["windows"]["test"], test)):
        assert (ours["rows"], ours["positives"], ours["days"]) == (len(window.scores), window.labels.sum(), window.days)
        equal("amount", ours["amount"], window.amounts.sum())
        equal("fraud_amount", ours["fraud_amount"], window.amounts[window.labels].sum())
    print(f"decision report: {compared} numbers and {intervals} intervals, equal to 1e-9")
    assert compared >= 30 and intervals >= 8


def train(binary, state, folder, change):
    """The demo's own job with a changed plan, carried out by the child."""
    plan = json.loads((published_run(state) / "bundle" / "resolved_train_plan.json").read_text())
    change(plan)
    files = [str((state / "inputs" / file["ref"]).resolve()) for file in plan["files"]]
    (folder / "job.json").write_text(json.dumps({"plan": plan, "files": files, "limits": plan["limits"], "threads": 2}))
    subprocess.run([binary, "trainer-child", str(folder), str(os.getpid())], check=True, stdout=subprocess.DEVNULL)
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished", result
    return plan


def check_champion(binary, state, rows):
    """Another model of the demo's rows becomes the champion: a swap set at each point, and the map between the scales."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        first, second = pathlib.Path(first), pathlib.Path(second)
        train(binary, state, first, lambda plan: plan["algorithm"]["parameters"].update(rounds=15, max_depth=3))
        model = (first / "model.json").read_bytes()
        (second / "champion_model.json").write_bytes(model)

        def name(plan):
            sha256 = hashlib.sha256(model).hexdigest()
            bundle = {"ref": "bundle.json", "sha256": sha256, "run_id": plan["run_id"], "features": plan["features"],
                      "model": {"ref": "model.json", "sha256": sha256, "bytes": len(model)},
                      "learned_before": plan["split"]["validation"]["start"]}
            plan["champion"] = {"bundle": bundle, "metrics": ["auc_roc"], "confidence": 0.95}

        plan = train(binary, state, second, name)
        report = json.loads((second / "decision_report.json").read_text())
        boosters = [xgboost.Booster(model_file=str(folder / "model.json")) for folder in (second, first)]
    (own, theirs), (own_test, their_test) = (
        [Window(rows, plan, plan["split"][window], booster) for booster in boosters] for window in ("validation", "test")
    )
    check_points(plan, report, own, own_test)
    champion = report["champion"]
    points = [point for point in report["operating_points"] if point["threshold"] is not None]
    for point, swap in zip(points, champion["swap_sets"], strict=True):
        mine = own_test.scores >= point["threshold"]
        level = lowest_within(their_test.scores, mine.sum())
        assert level == swap["champion_threshold"] and point["name"] == swap["name"]
        other = their_test.scores >= level
        for part, chosen in (("both", mine & other), ("swapped_in", mine & ~other), ("swapped_out", ~mine & other)):
            frauds = chosen & own_test.labels
            assert (swap[part]["rows"], swap[part]["positives"]) == (chosen.sum(), frauds.sum()), part
            equal("amount", swap[part]["amount"], own_test.amounts[chosen].sum())
            equal("fraud_amount", swap[part]["fraud_amount"], own_test.amounts[frauds].sum())

    # Ranks 1, 2, 3, … and then each five percent beyond the one before: the same rank on both scales.
    ranks, rank = [], 1
    while rank <= len(own.scores):
        ranks.append(rank)
        rank = max(rank + 1, int(rank * 1.05))
    xs, ys = (np.sort(window.scores)[::-1][np.array(ranks) - 1] for window in (own, theirs))
    first = np.unique(-xs, return_index=True)[1]
    x, y = np.r_[1, xs[first], 0][::-1], np.r_[1, ys[first], 0][::-1]
    knots = champion["score_map"]["knots"]
    assert [knot["score"] for knot in knots] == list(x) and [knot["champion_score"] for knot in knots] == list(y)
    mapped = np.interp(own_test.scores, x, y)
    for point, volume in zip(points, champion["score_map"]["at_points"], strict=True):
        level = lowest_within(theirs.scores, (own.scores >= point["threshold"]).sum())
        assert level == volume["champion_score"] and point["name"] == volume["name"]
    near = 0
    for volume in (*champion["score_map"]["at_points"], champion["score_map"]["worst"]):
        counts = [(scores >= volume["champion_score"]).sum() for scores in (their_test.scores, mapped)]
        # NumPy interpolates by a slope, which may differ in the last bit from a share of the distance.
        near += abs(counts[1] - volume["mapped_alerts"]) > ((np.abs(mapped - volume["champion_score"]) < 1e-12).sum())
        assert counts[0] == volume["champion_alerts"]
        equal("error", volume["relative_error"], (volume["mapped_alerts"] - counts[0]) / counts[0])
    assert near == 0
    errors = [abs((mapped >= level).sum() / (their_test.scores >= level).sum() - 1) for level in y if (their_test.scores >= level).sum() >= 100]
    equal("worst", abs(champion["score_map"]["worst"]["relative_error"]), max(errors))
    swapped = champion["swap_sets"][0]["swapped_in"]["rows"]
    print(f"against a champion: {len(points)} swap sets (the first swaps {swapped} in), {len(knots)} knots, worst error {max(errors):.1%}")


def lowest_within(scores, alerts):
    """The lowest score that flags at most this many rows."""
    levels = np.unique(scores)
    allowed = levels[[(scores >= level).sum() <= alerts for level in levels]]
    return allowed[0] if len(allowed) else None


def main(binary, state):
    run = published_run(state)
    plan = json.loads((run / "bundle" / "resolved_train_plan.json").read_text())
    report = json.loads((run / "bundle" / "decision_report.json").read_text())
    rows = pd.concat([pq.read_table(state / "inputs" / file["ref"]).to_pandas() for file in plan["files"]])
    booster = xgboost.Booster(model_file=str(run / "bundle" / "model.json"))
    check_points(plan, report, *(Window(rows, plan, plan["split"][name], booster) for name in ("validation", "test")))
    check_champion(binary.resolve(), state, rows)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
