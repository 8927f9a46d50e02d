"""The official SDKs for CloudEvents, for Python and JavaScript, make requests for a worker and read what it sends.

    python cloud_events.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR [NODE_MODULES]

Without NODE_MODULES only the one for Python is used.
"""

import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as first_api
from cloudevents.v1.http import CloudEvent as FirstCloudEvent
from confluent_kafka import Producer
from services import prepare, psql, read, without_progress


HERE = pathlib.Path(__file__).resolve().parent
DOCUMENTATION = HERE.parents[1] / "docs/cloud-events.md"
TYPE = "io.modelfactory.train_build_request"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def javascript(node_modules, what, items):
    made = subprocess.run(
        ["node", HERE / "cloud_events/sdk.js", what],
        env={**os.environ, "NODE_PATH": node_modules},
        input=json.dumps(items),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def example():
    """The names that the documentation's example defines."""
    [code] = re.findall(r"^```python\n(.*?)^```", DOCUMENTATION.read_text(), re.MULTILINE | re.DOTALL)
    shown = {}
    exec(compile(code, DOCUMENTATION, "exec"), shown)
    return shown


def python_records(request, of_id):
    """Three records of the request itself, two with ids of their own."""
    attributes = {"type": TYPE, "source": "/interop", "traceparent": TRACE}
    event = lambda data: CloudEvent(dict(attributes), data)
    # The SDK's first API, which leaves datacontenttype to the caller and sends it as a structured event's content-type.
    first = lambda data: FirstCloudEvent({**attributes, "datacontenttype": "application/json"}, data)
    return [
        kafka.to_structured_event(event(request)),
        kafka.to_binary_event(event(request)),
        kafka.to_structured_event(event(json.dumps(request).encode())),
        first_api.to_structured(first(of_id(2))),
        first_api.to_binary(first(of_id(3))),
    ]


def javascript_records(node_modules, of_id):
    attributes = {"type": TYPE, "source": "/interop", "datacontenttype": "application/json", "traceparent": TRACE}
    items = [
        {"mode": "structured", "attributes": attributes, "data": of_id(4)},
        {"mode": "binary", "attributes": attributes, "data": of_id(5)},
        {"mode": "structured", "attributes": attributes, "data": of_id(6), "base64": True},
    ]
    return [kafka.KafkaMessage(made["headers"], None, made["value"]) for made in javascript(node_modules, "make", items)]


def bad_records(request):
    """Each with the code and the pointer that its dead letter must have."""
    event = lambda kind, data: kafka.to_structured_event(CloudEvent({"type": kind, "source": "/interop"}, data))
    unknown = {**request, "request_id": "req-events-bad1", "intent_kind": "retrain_everything"}
    command = {
        "schema_version": "learning.mf_cancel.v0", "request_id": "cmd-events-001", "run_id": f"tr_{1:032x}",
        "requester_principal": request["requester_principal"], "reason": "interop",
    }
    other = {**request, "request_id": "req-events-bad2"}
    return [
        (event(TYPE, unknown), "INTENT_KIND_UNSUPPORTED", "/data/intent_kind"),
        (event(TYPE, json.dumps(unknown).encode()), "INTENT_KIND_UNSUPPORTED", "/data_base64/intent_kind"),
        (event("io.modelfactory.cancel", command), "RUN_UNKNOWN", "/data/run_id"),
        (event("com.example.order", other), "SCHEMA_INVALID", "/type"),
    ]


def headers_of(record):
    return dict(record.headers())


def check_sent(records, node_modules):
    """Each record that a worker sent is the event that it should be, by both SDKs."""
    for record in records:
        event = kafka.from_binary_event(kafka.KafkaMessage(headers_of(record), record.key(), record.value()))
        value = json.loads(record.value())
        assert event.get_data() == value and event.get_datacontenttype() == "application/json", event
        assert event.get_source() == "/model-factory" and event.get_specversion() == "1.0", event
        assert event.get_subject() == value["run_id"], event
        if "event_type" in value:
            assert event.get_id() == value["event_id"], event
            assert event.get_type() == f"io.modelfactory.{value['event_type']}", event
            assert event.get_time() == datetime.datetime.fromisoformat(value["occurred_at_utc"]), event
        else:
            assert event.get_type() == "io.modelfactory.bundle.publication", event
            assert event.get_time().utcoffset() == datetime.timedelta(0), event
    if node_modules is None:
        return
    texts = [
        {"headers": {key: text.decode() for key, text in record.headers()}, "value": record.value().decode()}
        for record in records
    ]
    for record, event in zip(texts, javascript(node_modules, "read", texts), strict=True):
        headers = record["headers"]
        for name in ("id", "source", "type", "specversion"):
            assert event[name] == headers[f"ce_{name}"], (event, headers)
        assert event.get("subject") == headers.get("ce_subject"), (event, headers)
        assert event["data"] == json.loads(record["value"]), event
        # JavaScript's clock has milliseconds.
        assert event["time"][:23] == headers["ce_time"][:23], (event, headers)


def check_letters(letters, bad, node_modules):
    """Dead letters have the bytes as they came, and are no events of the worker's."""
    assert len(letters) == len(bad)
    for letter, (sent, code, pointer) in zip(letters, bad, strict=True):
        headers = headers_of(letter)
        assert (headers["mf_code"].decode(), headers["mf_pointer"].decode()) == (code, pointer), headers
        assert letter.value() == sent.value
        assert not any(name.startswith("ce_") for name in headers), headers
    if node_modules is not None:
        texts = [
            {"headers": {key: text.decode() for key, text in letter.headers()}, "value": letter.value().decode()}
            for letter in letters
        ]
        assert javascript(node_modules, "read", texts) == [None] * len(letters)


def main(binary, brokers, database, state, node_modules=None):
    name = f"interop-events-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    topics, environment = prepare(binary, brokers, database, state, name)

    request = json.loads((state / "request.json").read_text())
    of_id = lambda number: {**request, "request_id": f"req-events-{number:04}"}
    good = python_records(of_id(1), of_id)
    if node_modules is not None:
        good += javascript_records(node_modules, of_id)
    bad = bad_records(request)
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for message in [*good, *(message for message, _, _ in bad)]:
        producer.produce(topics["requests"], key=message.key, value=message.value, headers=message.headers)
    shown = example()
    shown["send"](producer, topics["requests"], of_id(7))
    shown["send"](producer, topics["requests"], of_id(8), kafka.to_binary_event)
    assert producer.flush(30) == 0

    # Six of the run, besides its progress; one of its first request, which came three times; one of each other id; one of
    # each refusal.
    others = len(good) - 3 + 2
    count = 6 + 1 + others + len(bad)
    worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment)
    try:
        letters = read(brokers, topics["dead_letters"], lambda records: len(records) == len(bad))
        publications = read(brokers, topics["publications"], lambda records: len(records) == 1)
        events = read(brokers, topics["lifecycle"], lambda records: len(without_progress(records)) == count)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"

    values = [json.loads(record.value()) for record in events]
    of_type = lambda kind: [value for value in values if value["event_type"] == kind]
    [admitted] = of_type("request.admitted")
    joined = of_type("request.deduplicated")
    assert {value["run_id"] for value in [*joined, *of_type("publish.published")]} == {admitted["run_id"]}, values
    assert len({value["request_id"] for value in joined}) == others + 1, joined
    assert len(of_type("request.rejected")) == len(bad), values
    assert headers_of(publications[0])["traceparent"].decode() == TRACE, "the trace that the first event brought"
    check_sent([*events, *publications], node_modules)
    check_letters(sorted(letters, key=lambda letter: int(headers_of(letter)["mf_source_offset"])), bad, node_modules)

    # A relay that dies after the broker's acknowledgement sends the events that it did not mark again: the same ids and
    # bytes.
    psql(
        environment["MODEL_FACTORY_LEDGER__URL"],
        "UPDATE outbox SET sent_at = NULL, sent_topic = NULL, sent_partition = NULL, sent_offset = NULL"
        " WHERE kind = 'LIFECYCLE'",
    )
    worker = subprocess.Popen([binary, "worker"], env=environment)
    try:
        twice = read(brokers, topics["lifecycle"], lambda records: len(records) == 2 * len(events))
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"
    by_id = {}
    for record in twice:
        by_id.setdefault(headers_of(record)["ce_id"], []).append((record.headers(), record.key(), record.value()))
    assert len(by_id) == len(events) and all(len(same) == 2 and same[0] == same[1] for same in by_id.values()), by_id.keys()

    sdks = "Python" if node_modules is None else "Python and JavaScript"
    print(
        f"cloud events: {len(good) + 2} requests of the SDKs for {sdks} are one run, {len(bad)} dead letters;"
        f" {len(events) + 1} records read by them, {len(events)} with their ids again"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
