"""A worker with Apache Kafka and Postgres serves a Python client. Every record that it sent is left in records.json.

    python worker.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ORDER = [
    "request.admitted", "run.started", "run.eval_ready", "run.gate_passed", "publish.pending", "publish.published",
]


def psql_binary():
    bindir = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
    candidates = [pathlib.Path(bindir) / "psql", *sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))]
    return next(str(path) for path in [*candidates, pathlib.Path("/usr/bin/psql")] if path.exists())


def psql(url, sql):
    subprocess.run([psql_binary(), "--quiet", "--no-psqlrc", "--command", sql, url], check=True)


def settings(brokers, database, state, name):
    topics = {kind: f"{name}-{kind}" for kind in ("requests", "lifecycle", "publications", "dead_letters")}
    return topics, {
        **os.environ,
        **{f"MODEL_FACTORY_KAFKA__TOPICS__{kind.upper()}": topic for kind, topic in topics.items()},
        "MODEL_FACTORY_KAFKA__BROKERS": brokers,
        "MODEL_FACTORY_KAFKA__GROUP_ID": name,
        "MODEL_FACTORY_LEDGER__URL": database,
        "MODEL_FACTORY_EVIDENCE__URL": f"file://{state}/evidence-{name}",
        "MODEL_FACTORY_INPUTS__ROOT": f"{state}/inputs",
        "MODEL_FACTORY_TRAINER__SCRATCH": f"{state}/scratch-{name}",
        "MODEL_FACTORY_WORKER__HTTP": "127.0.0.1:0",
        "MODEL_FACTORY_SIGNING__ALLOW_UNSIGNED": "true",
    }


def read(brokers, topic, enough, patience=120):
    """Every record from the beginning until `enough` says so, and none after that."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"{topic}-reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records, until = [], time.monotonic() + patience
    while time.monotonic() < until and not enough(records):
        record = consumer.poll(0.5)
        if record is not None and not record.error():
            records.append(record)
    late = consumer.poll(2.0)
    consumer.close()
    assert enough(records), f"{topic}: only {[record.value()[:200] for record in records]}"
    assert late is None, f"{topic}: one record too many: {late.value()[:200]}"
    return records


def written(topic, record):
    headers = {key: text.decode() for key, text in record.headers()}
    return {"topic": topic, "headers": headers, "value": record.value().decode()}


def main(binary, brokers, database, state):
    name = f"interop-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    psql(database, f'CREATE DATABASE "{name}"')
    topics, environment = settings(brokers, f"{database.rsplit('/', 1)[0]}/{name}", state, name)
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics.values()]).values():
        future.result(30)
    subprocess.run([binary, "migrate"], env=environment, check=True)

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
        # Six of the run, one of the duplicate, one of the conflict; what has no id has a dead letter only.
        events = read(brokers, topics["lifecycle"], lambda records: len(records) == 8)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"

    sent = [("LIFECYCLE", events), ("PUBLICATIONS", publications), ("DEAD_LETTERS", letters)]
    sent = [written(topic, record) for topic, records in sent for record in records]
    (state / "records.json").write_text(json.dumps(sent))
    assert all(record["headers"]["traceparent"] == TRACE for record in sent), sent

    values = [json.loads(record.value()) for record in events]
    of_run = [value for value in values if value["run_id"] is not None]
    assert [value["seq"] for value in of_run] == list(range(1, len(of_run) + 1)), values
    story = [value["event_type"] for value in of_run if value["event_type"] != "request.deduplicated"]
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
    bundle = publication["bundle_id"][:12]
    print(f"worker: {len(events)} events in order, one publication of {bundle}…, {len(letters)} dead letters")


if __name__ == "__main__":
    main(*sys.argv[1:])
