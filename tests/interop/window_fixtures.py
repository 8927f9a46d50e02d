"""Writes tests/golden/windows/known_entities.json: rows, and which of them a test window keeps when cards leave it.

Usage: python tests/interop/window_fixtures.py
"""

import json
import pathlib
import random

import pandas as pd

DAY, ROWS = 86_400, 120


def handbook(rows, start, train_days, delay_days, test_days):
    """Fraud Detection Handbook, chapter 5, `get_train_test_set`: frauds become known once a day, when a day begins."""
    day = rows["at"] // DAY
    train = rows[(day >= start) & (day < start + train_days)]
    known, kept = set(train.loc[train["fraud"], "card"]), []
    for today in range(start + train_days + delay_days, start + train_days + delay_days + test_days):
        known |= set(rows.loc[rows["fraud"] & (day == today - delay_days - 1), "card"])
        kept += rows.index[(day == today) & ~rows["card"].isin(known)].tolist()
    return train.index.tolist(), sorted(kept)


def row_by_row(rows, train, test):
    """A row stays unless an earlier fraud of its card, from the train window or later, is known by then."""
    frauds = rows[rows["fraud"] & (rows["at"] >= train[0])]

    def stays(row):
        of_card = frauds[(frauds["card"] == row.card) & (frauds["at"] < row.at)]
        return not (of_card["known"] <= row.at).any()

    within = [row for row in rows.itertuples() if test[0] <= row.at < test[1]]
    in_train = rows.index[(rows["at"] >= train[0]) & (rows["at"] < train[1])]
    return in_train.tolist(), [row.Index for row in within if stays(row)]


def case(rng, kind, delay_days):
    start, train_days, test_days = rng.randrange(3, 6), rng.randrange(4, 9), 7
    end = start + train_days + delay_days + test_days + 2
    rows = pd.DataFrame({
        "at": [rng.randrange(end * DAY) for _ in range(ROWS)],
        "fraud": [rng.random() < 0.15 for _ in range(ROWS)],
        "card": [rng.randrange(20) for _ in range(ROWS)],
    })
    if kind == "by day":
        rows["known"] = (rows["at"] // DAY + 1 + delay_days) * DAY
    elif kind == "observed":
        rows["known"] = rows["at"] + [rng.randrange(12 * DAY) for _ in range(ROWS)]
    else:
        rows["known"] = rows["at"] + delay_days * DAY
    train = [start * DAY, (start + train_days) * DAY]
    test = [(start + train_days + delay_days) * DAY, (start + train_days + delay_days + test_days) * DAY]
    expected = row_by_row(rows, train, test)
    if kind == "by day":
        assert expected == handbook(rows, start, train_days, delay_days, test_days)
    frauds = rows[rows["fraud"] & (rows["at"] >= train[0]) & (rows["known"] < test[0])]
    at_start = (rows["at"] >= test[0]) & (rows["at"] < test[1]) & ~rows["card"].isin(frauds["card"])
    assert set(rows.index[at_start]) > set(expected[1]), "no card leaves within the window"
    observed = [None] * len(rows) if kind == "after the delay" else rows["known"].tolist()
    return {
        "name": f"{kind}, {delay_days} days", "train": train, "test": test, "delay_days": delay_days,
        "rows": list(zip(rows["at"].tolist(), rows["fraud"].tolist(), rows["card"].tolist(), observed)),
        "expected_train": expected[0], "expected_test": expected[1],
    }


def main():
    rng = random.Random(20)
    kinds = ("by day", "observed", "after the delay")
    cases = [case(rng, kind, delay_days) for kind in kinds for delay_days in (0, 1, 3, 7)]
    out = pathlib.Path(__file__).parent.parent / "golden" / "windows" / "known_entities.json"
    out.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
