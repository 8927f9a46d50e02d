"""The Fraud Detection Handbook's example on made-up payments: two test weeks, each measured on the book's rows only.

    python handbook.py BINARY BROKERS DATABASE_URL STATE_DIR
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
from confluent_kafka import Producer
from services import prepare, read

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import handbook  # noqa: E402: it is no package

WEEKS = ["2018-04-29", "2018-05-06"]


def payments(rng, days=37, a_day=1000, cards=500):
    """Columns as the book publishes them. A few cards are compromised for a fortnight, as in its third scenario."""
    rows = days * a_day
    at = np.sort(rng.integers(0, days * 86_400, rows))
    card = rng.integers(0, cards, rows)
    begin = rng.integers(-14, days, cards)
    compromised = (card < 60) & (begin[card] <= at // 86_400) & (at // 86_400 < begin[card] + 14)
    fraud = compromised & (rng.random(rows) < 0.3)
    names = re.findall(r"- {name: (\w+)", (EXAMPLES / "profiles" / "handbook.yaml").read_text())
    return pd.DataFrame({
        "TRANSACTION_ID": np.arange(rows),
        "TX_DATETIME": pd.to_datetime(at, unit="s", origin="2018-04-06", utc=True),
        "CUSTOMER_ID": card, "TERMINAL_ID": rng.integers(0, 900, rows), "TX_FRAUD": fraud.astype(int),
        **{name: rng.normal(fraud * 0.3, 1.0).astype("float32") for name in names},
    })


def main(binary, brokers, database, state):
    state = pathlib.Path(state).resolve()
    state.mkdir(parents=True, exist_ok=True)
    source = state / "transactions.parquet"
    payments(np.random.default_rng(19)).to_parquet(source, index=False)
    handbook.prepare(source, state, WEEKS)
    requests = (state / "requests.jsonl").read_text().splitlines()
    evidence = {"EVIDENCE__URL": f"file://{state}/evidence"}
    topics, environment = prepare(binary, brokers, database, state, f"interop-handbook-{os.getpid()}", **evidence)
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for request in requests:
        producer.produce(topics["requests"], key=b"handbook", value=request)
    assert producer.flush(30) == 0

    def settled(records):
        ends = ("publish.published", "run.failed", "run.gate_failed")
        return sum(json.loads(record.value())["event_type"] in ends for record in records) == len(WEEKS)

    worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment)
    try:
        events = [json.loads(record.value()) for record in read(brokers, topics["lifecycle"], settled)]
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"
    failed = [event["reason"] for event in events if event["event_type"] == "run.failed"]
    assert not failed, failed
    reports = list(handbook.reports(state))
    assert len(reports) == len(WEEKS)
    rows = handbook.read(source)
    for week, report, measured in reports:
        start = pd.Timestamp(week)
        train, _ = handbook.windows(rows, start)
        at_start = train.loc[train["TX_FRAUD"] == 1, "CUSTOMER_ID"]
        within = (rows["TX_DATETIME"] >= start) & (rows["TX_DATETIME"] < start + handbook.WEEK)
        static = within & ~rows["CUSTOMER_ID"].isin(at_start)
        assert set(measured) < set(rows.loc[static, "TRANSACTION_ID"]), "no card leaves within the week"
        print(f"handbook: test week {week}, {len(measured)} rows stay, {report['dataset']['excluded_rows']} leave")
    handbook.compare(source, state, [])


if __name__ == "__main__":
    main(*sys.argv[1:])
