"""Requests traced from a Python producer through a worker to Python consumers, read back from OpenTelemetry's Collector.

Producer and consumers use OpenTelemetry's own SDK. Four requests: one that is published, one whose worker is killed
in the middle, one that contradicts another, and one whose attempt is linked because it counts as queued for long.

    python traces.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR COLLECTOR
"""

import atexit
import inspect
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from confluent_kafka import Producer
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv._incubating.attributes import messaging_attributes as conventions
from services import prepare, read

INTERNAL, PRODUCER, CONSUMER = 1, 4, 5
STAGES = ["resolve", "train", "evaluate", "gate", "bundle", "publish"]
# What the child reports, in its order.
STEPS = ["read", "check", "fit", "score", "evaluate"]


class Collector:
    """OpenTelemetry's Collector with a file of all that it received."""

    def __init__(self, binary, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.file, self.log = folder / "spans.json", folder / "collector.log"
        configuration = folder / "collector.json"
        configuration.write_text(json.dumps({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": self.endpoint.removeprefix("http://")}}}},
            "exporters": {"file": {"path": str(self.file), "flush_interval": "100ms"}},
            "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}},
        }))
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen([binary, "--config", f"file:{configuration}"], stdout=log, stderr=log)
        # However the check ends.
        atexit.register(self.process.kill)
        until = time.monotonic() + 30
        while "Everything is ready" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def end(self):
        """Every span that it received, by id."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()
        spans = {}
        for line in self.file.read_text().splitlines():
            for part in json.loads(line)["resourceSpans"]:
                resource = attributes(part["resource"])
                for span in (span for scope in part["scopeSpans"] for span in scope["spans"]):
                    assert span["spanId"] not in spans, f"received twice: {span}"
                    spans[span["spanId"]] = {**span, "attributes": attributes(span), "resource": resource}
        return spans


def attributes(of):
    values = {pair["key"]: next(iter(pair["value"].items())) for pair in of.get("attributes", [])}
    return {key: int(value) if kind == "intValue" else value for key, (kind, value) in values.items()}


def consumed(tracer, topic, records):
    """What a consumer does with each record: a span under the context of the record's headers."""
    for record in records:
        headers = {key: text.decode() for key, text in record.headers()}
        context = propagate.extract(headers)
        with tracer.start_as_current_span(f"process {topic}", context, kind=trace.SpanKind.CONSUMER) as span:
            span.set_attribute("test.offset", record.offset())


def headers_of(records, name):
    return [dict(record.headers())[name] for record in records]


def of_trace(spans, trace_id):
    return {key: span for key, span in spans.items() if span["traceId"] == trace_id}


def check_connected(spans, root):
    """One tree: every parent is there, and only the producer's own span has none."""
    roots = [span["name"] for span in spans.values() if not span.get("parentSpanId")]
    assert roots == [root], roots
    lost = [span for span in spans.values() if span.get("parentSpanId") and span["parentSpanId"] not in spans]
    assert not lost, lost


def one(spans, name, **wanted):
    found = [span for span in spans.values() if span["name"] == name]
    found = [span for span in found if all(span["attributes"].get(key) == value for key, value in wanted.items())]
    assert len(found) == 1, (name, wanted, found)
    return found[0]


def below(spans, parent):
    children = [span for span in spans.values() if span.get("parentSpanId") == parent["spanId"]]
    return sorted(children, key=lambda span: int(span["startTimeUnixNano"]))


def check_within(inner, outer):
    start, end = "startTimeUnixNano", "endTimeUnixNano"
    assert int(outer[start]) <= int(inner[start]) <= int(inner[end]) <= int(outer[end]), (inner, outer)


def current_names():
    """Messaging attributes of the conventions that are not deprecated."""
    source = inspect.getsource(conventions).split("\n\n")
    deprecated = {part.split(":")[0].strip() for part in source if '"""\nDeprecated' in part}
    named = {name: value for name, value in vars(conventions).items() if name.startswith("MESSAGING_")}
    return {value for name, value in named.items() if name not in deprecated and isinstance(value, str)}


def check_conventions(spans):
    known = current_names()
    assert "messaging.operation.type" in known and "messaging.operation" not in known, sorted(known)
    types = {member.value for member in conventions.MessagingOperationTypeValues}
    for span in spans.values():
        own = {key: value for key, value in span["attributes"].items() if key.startswith("messaging.")}
        assert set(own) <= known, set(own) - known
        if span["resource"]["service.name"] != "model-factory":
            continue
        assert set(span["resource"]) == {"service.name", "service.version", "service.instance.id"}, span
        assert span["resource"]["service.version"] != "another", span
        assert span["kind"] == (INTERNAL if not own else {"process": CONSUMER, "send": PRODUCER}[span["name"].split()[0]])
        if own:
            operation, topic = span["name"].split()
            assert own["messaging.system"] == "kafka" and own["messaging.destination.name"] == topic, own
            assert own["messaging.operation.name"] == own["messaging.operation.type"] == operation, own
            assert operation in types and own["messaging.destination.partition.id"] == "0", own
            assert own["messaging.kafka.offset"] >= 0 and own["messaging.message.body.size"] > 0, own
            assert ("messaging.consumer.group.name" in own) == (operation == "process"), own


def check_story(spans, topics, request, records):
    """The trace of the request that went straight to its publication."""
    check_connected(spans, f"send {topics['requests']}")
    produced = one(spans, f"send {topics['requests']}")
    taken = one(spans, f"process {topics['requests']}")
    assert taken["parentSpanId"] == produced["spanId"] == taken["links"][0]["spanId"], taken
    run_id = taken["attributes"]["run.id"]
    assert taken["attributes"]["request.outcome"] == "ADMITTED", taken
    assert taken["attributes"]["messaging.message.id"] == request, taken
    attempt = one(spans, "run attempt")
    assert attempt["parentSpanId"] == taken["spanId"] and "links" not in attempt, attempt
    assert attempt["attributes"]["run.id"] == run_id and attempt["attributes"]["run.attempt"] == 1, attempt
    stages = below(spans, attempt)
    assert [stage["name"] for stage in stages] == STAGES, stages
    children = below(spans, stages[1])
    assert [child["name"] for child in children] == ["trainer-child"], children
    steps = below(spans, children[0])
    assert [step["name"] for step in steps] == STEPS, steps
    for inner, outer in [(stages[1], attempt), (children[0], stages[1]), *((step, children[0]) for step in steps)]:
        check_within(inner, outer)
    # The record on the topic names the span that sent it, and the consumer's span is its child.
    for topic, record in records:
        sent = one(spans, f"send {topic}", **{"messaging.kafka.offset": record.offset()})
        headers = {key: text.decode() for key, text in record.headers()}
        assert headers["traceparent"] == f"00-{sent['traceId']}-{sent['spanId']}-01", headers
        assert sent["attributes"]["messaging.message.id"] == headers["ce_id"], sent
        assert sent["attributes"]["run.id"] == run_id and sent["parentSpanId"] == taken["spanId"], sent
        (done,) = below(spans, sent)
        assert done["attributes"]["test.offset"] == record.offset(), done
    assert not any(span.get("status", {}).get("code") for span in spans.values()), spans
    return len(spans)


def main(binary, brokers, database, state, collector):
    name = f"traces-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    folder = state / name
    folder.mkdir()
    topics, environment = prepare(binary, brokers, database, state, name)
    received = Collector(collector, folder)
    environment |= {
        "MODEL_FACTORY_TELEMETRY__OTLP_ENDPOINT": received.endpoint,
        "MODEL_FACTORY_LEDGER__LEASE_SECONDS": "3",
        "MODEL_FACTORY_WORKER__LOG_FORMAT": "json",
        # The worker must ignore all of these.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "another",
        "OTEL_TRACES_SAMPLER": "always_off", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "HTTP_PROXY": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=another", "OTEL_BSP_MAX_QUEUE_SIZE": "1",
    }
    doctor = subprocess.run([binary, "doctor"], env=environment, capture_output=True, text=True, check=False).stdout
    assert f"{received.endpoint}/v1/traces takes spans" in doctor, doctor

    provider = TracerProvider(resource=Resource.create({"service.name": "platform"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{received.endpoint}/v1/traces")))
    tracer = provider.get_tracer("traces.py")
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    request = json.loads((state / "request.json").read_text())

    def ask(request_id, **changed):
        """Sends a request within a span of its own, and gives the trace."""
        with tracer.start_as_current_span(f"send {topics['requests']}", kind=trace.SpanKind.PRODUCER) as span:
            headers = {}
            propagate.inject(headers)
            value = json.dumps({**request, "request_id": request_id, **changed})
            producer.produce(topics["requests"], key=request_id.encode(), value=value, headers=headers)
            assert producer.flush(30) == 0
            return f"{span.get_span_context().trace_id:032x}"

    def work(**more):
        log = (folder / f"worker-{len(list(folder.glob('worker-*')))}.log").open("w", encoding="utf-8")
        own = {**environment, **{f"MODEL_FACTORY_{key}": value for key, value in more.items()}}
        return subprocess.Popen([binary, "worker", "--from", "earliest"], env=own, stderr=log)

    def publishes(count, **more):
        worker = work(**more)
        try:
            records = read(brokers, topics["publications"], lambda records: len(records) == count)
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        return records

    killed = ask("req-traces-killed", config_revision="killed")
    mark = folder / "mark"
    failpoint = {"POINT": "evaluate.before", "ACTION": "kill", "MARK": str(mark), "DATABASE_PORT": "0"}
    first = work(**{f"FAULT__{key}": value for key, value in failpoint.items()})
    assert first.wait(120) == -signal.SIGKILL and mark.exists()
    straight = ask("req-traces-straight")
    contradicted = ask("req-traces-straight", policy_revision="another")
    publishes(2)
    linked = ask("req-traces-linked", config_revision="linked")
    publications = publishes(3, TELEMETRY__LINK_AFTER_SECONDS="0")
    published = b"io.modelfactory.publish.published"
    events = read(brokers, topics["lifecycle"], lambda records: headers_of(records, "ce_type").count(published) == 3)
    consumed(tracer, topics["lifecycle"], events)
    consumed(tracer, topics["publications"], publications)
    provider.shutdown()
    spans = received.end()

    check_conventions(spans)
    workers = {span["resource"]["service.instance.id"] for span in spans.values() if "run.id" in span["attributes"]}
    assert len(workers) == 3, workers
    mine = [(topic, record) for topic in ("lifecycle", "publications")
            for record in (events if topic == "lifecycle" else publications)]
    mine = [(topics[topic], record) for topic, record in mine if straight in dict(record.headers())["traceparent"].decode()]
    assert len(mine) >= 7, mine
    count = check_story(of_trace(spans, straight), topics, "req-traces-straight", mine)

    # What the killed worker had open is missing; the next worker's attempt is under the same request.
    story = of_trace(spans, killed)
    taken = one(story, f"process {topics['requests']}")
    again = one(story, "run attempt", **{"run.attempt": 2})
    assert again["parentSpanId"] == taken["spanId"] and again["resource"] != taken["resource"], again
    assert [stage["name"] for stage in below(story, again)] == STAGES, below(story, again)

    refused = of_trace(spans, contradicted)
    check_connected(refused, f"send {topics['requests']}")
    taken = one(refused, f"process {topics['requests']}")
    assert taken["attributes"]["error.type"] == "REQUEST_ID_PAYLOAD_MISMATCH" and taken["status"]["code"] == 2, taken
    assert one(refused, f"send {topics['dead_letters']}")["parentSpanId"] == taken["spanId"]

    late = of_trace(spans, linked)
    check_connected(late, f"send {topics['requests']}")
    taken = one(late, f"process {topics['requests']}")
    attempt = one(spans, "run attempt", **{"run.id": taken["attributes"]["run.id"]})
    (link,) = attempt["links"]
    assert (link["traceId"], link["spanId"]) == (linked, taken["spanId"]) and not attempt.get("parentSpanId"), attempt
    own = of_trace(spans, attempt["traceId"])
    check_connected(own, "run attempt")
    assert {span["traceId"] for span in spans.values()} == {killed, straight, contradicted, linked, attempt["traceId"]}
    print(f"traces: {count} spans of one request in one tree, {len(spans)} in all; kill, conflict and link as documented")


if __name__ == "__main__":
    main(*sys.argv[1:])
