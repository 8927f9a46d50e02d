"""A worker with Apache Kafka and Postgres serves a Python client. Every record that it sent is left in records.json.

    python worker.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

from confluent_kafka import Producer
from services import prepare, read, without_progress

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ORDER = [
    "request.admitted", "run.started", "run.eval_ready", "run.gate_passed", "publish.pending", "publish.published",
]
BESIDE = ("request.deduplicated", "run.progress")


def written(topic, record):
    headers = {key: text.decode() for key, text in record.headers()}
    return {"topic": topic, "headers": headers, "value": record.value().decode()}


def main(binary, brokers, database, state):
    name = f"interop-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    topics, environment = prepare(binary, brokers, database, state, name, "lineage", LINEAGE__ENABLED="true")

    request = json.loads((state / "request.json").read_text())
    request["request_id"] = "req-interop-0001"
    again = {**request, "request_id": "req-interop-0002"}
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    conflict = {**request, "policy_revision": "another"}
    for value in (json.dumps(request), json.dumps(again), json.dumps(conflict), "not a request", " " * 950_000):
        producer.produce(topics["requests"], key=b"interop", value=value, headers={"traceparent": TRACE})
    assert producer.flush(30) == 0

    worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment)
    try:
        letters = read(brokers, topics["dead_letters"], lambda records: len(records) == 3)
        publications = read(brokers, topics["publications"], lambda records: len(records) == 1)
        # Six events of the run, one of the duplicate, one of the conflict; a record without an id has a dead letter only.
        # On a slow machine the run also has progress events.
        events = read(brokers, topics["lifecycle"], lambda records: len(without_progress(records)) == 8)
        lineage = read(brokers, topics["lineage"], lambda records: len(records) == 4)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"

    sent = [("LIFECYCLE", events), ("PUBLICATIONS", publications), ("DEAD_LETTERS", letters), ("LINEAGE", lineage)]
    sent = [written(topic, record) for topic, records in sent for record in records]
    (state / "records.json").write_text(json.dumps(sent))
    assert all(record["headers"]["traceparent"] == TRACE for record in sent), sent

    values = [json.loads(record.value()) for record in events]
    of_run = [value for value in values if value["run_id"] is not None]
    assert [value["seq"] for value in of_run] == list(range(1, len(of_run) + 1)), values
    story = [value["event_type"] for value in of_run if value["event_type"] not in BESIDE]
    assert story == ORDER, story
    for record, value in zip(events, values):
        headers = {key: text.decode() for key, text in record.headers()}
        assert headers["ce_id"] == value["event_id"] and headers["ce_specversion"] == "1.0", headers
        assert headers["ce_type"] == f"io.modelfactory.{value['event_type']}", headers
    publication = json.loads(publications[0].value())
    assert publication["run_id"] == of_run[0]["run_id"]
    assert publications[0].key().decode() == publication["scope_key"]
    refused = {dict(letter.headers())["mf_code"].decode(): letter.value() for letter in letters}
    assert sorted(refused) == ["MESSAGE_NOT_JSON", "MESSAGE_TOO_LARGE", "REQUEST_ID_PAYLOAD_MISMATCH"], refused.keys()
    assert refused["MESSAGE_NOT_JSON"] == b"not a request"
    assert json.loads(refused["MESSAGE_TOO_LARGE"])["bytes"] == 950_000
    # The export that audit_log.py checks.
    subprocess.run([binary, "audit", "verify"], env=environment, check=True)
    subprocess.run([binary, "audit", "export", "--output", str(state / "audit.jsonl")], env=environment, check=True)
    bundle = publication["bundle_id"][:12]
    print(f"worker: {len(events)} events in order, one publication of {bundle}…, {len(letters)} dead letters")


if __name__ == "__main__":
    main(*sys.argv[1:])
