"""OpenLineage's own Python client reads the events that a real worker with Kafka and Postgres emits of four runs: one is
published, one is stopped by its gate, one has a leak, one is cancelled. Digests, rows and columns are compared with the
Parquet files as pyarrow and hashlib see them, verdicts with the gate's receipts; then the client sends every event on,
and what it writes means the same.

    python lineage.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import jsonschema
import pyarrow.parquet as pq
from confluent_kafka import Producer
from openlineage.client import OpenLineageClient
from openlineage.client.naming.dataset import LocalFileSystem
from openlineage.client.serde import Serde
from openlineage.client.transport.file import FileConfig, FileTransport

from openlineage_events import FACETS, OURS, meaning, read as as_client
from services import prepare, read, shown_run, until

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas" / "lineage"
LOGICAL = {"STRING", "TIMESTAMP", "DATE", "TIME", "DECIMAL", "LIST", "MAP", "ENUM", "JSON", "BSON", "UUID", "FLOAT16"}
PUBLISHED, STOPPED, LEAKY, CANCELLED = (f"req-lineage-{number}" for number in ("0001", "0002", "0003", "0004"))
STORIES = {
    PUBLISHED: ["START", "RUNNING", "RUNNING", "COMPLETE"],
    STOPPED: ["START", "RUNNING", "RUNNING", "COMPLETE"],
    LEAKY: ["START", "RUNNING", "RUNNING", "FAIL"],
    CANCELLED: ["START", "RUNNING", "ABORT"],
}


def slow(profile):
    text = profile.read_text()
    changed = text.replace("rounds: 200, max_depth: 5", "rounds: 10000, max_depth: 8")
    changed = changed.replace("early_stopping_rounds: 20", "early_stopping_rounds: 0")
    assert changed != text, "the training profile of the demo looks different by now"
    profile.with_name("slow.yaml").write_text(changed)
    return "profiles/slow.yaml"


def requests(state):
    base = json.loads((state / "request.json").read_text())
    leaky = base["dataset_manifest_refs"][0].replace("cards", "cards_leaky")
    assert (state / "inputs" / leaky).exists(), leaky
    return {
        PUBLISHED: base,
        STOPPED: {**base, "governance_profile_ref": "profiles/governance_strict.yaml"},
        LEAKY: {**base, "dataset_manifest_refs": [leaky]},
        CANCELLED: {**base, "training_config_ref": slow(state / "inputs" / base["training_config_ref"])},
    }


def columns(path):
    file = pq.ParquetFile(path)
    kinds = []
    for at in range(len(file.schema)):
        column = file.schema.column(at)
        logical = column.logical_type.type
        kind = logical if logical in LOGICAL else column.physical_type
        if logical == "INT":
            integer = json.loads(column.logical_type.to_json())
            kind = f"{'' if integer['isSigned'] else 'u'}int{integer['bitWidth']}"
        kinds.append({"name": column.name, "type": kind.lower()})
    return kinds


def role(dataset):
    return dataset["facets"]["modelFactory_content"]["role"]


def one(datasets, wanted):
    (found,) = [dataset for dataset in datasets if role(dataset) == wanted]
    return found


def check_inputs(event, request, inputs, with_columns):
    files = {}
    for reference in request["dataset_manifest_refs"]:
        for file in json.loads((inputs / reference).read_text())["materializations"]:
            files[LocalFileSystem(str(inputs / file["ref"])).get_name()] = file
    described = {dataset["name"]: dataset for dataset in event["inputs"] if role(dataset) == "data"}
    assert described.keys() == files.keys(), (described.keys(), files.keys())
    for name, dataset in described.items():
        path = pathlib.Path(name)
        content, statistics = dataset["facets"]["modelFactory_content"], dataset["inputFacets"]["inputStatistics"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert content["sha256"] == files[name]["sha256"] == digest, content
        assert dataset["facets"]["version"]["datasetVersion"] == f"sha256:{digest}"
        rows = pq.ParquetFile(path).metadata.num_rows
        assert (statistics["rowCount"], statistics["size"]) == (rows, path.stat().st_size), statistics
        assert dataset["namespace"] == LocalFileSystem(name).get_namespace()
        if with_columns:
            assert dataset["facets"]["schema"]["fields"] == columns(path), dataset["facets"]["schema"]


def check_end(event, evidence, gate, packed):
    outputs = {role(dataset): dataset for dataset in event["outputs"]}
    expected = {"scores", "eval_report", "model"} | ({"bundle"} if packed else set())
    assert outputs.keys() == expected, outputs.keys()
    for name, dataset in outputs.items():
        path, statistics = pathlib.Path(dataset["name"]), dataset["outputFacets"]["outputStatistics"]
        assert path.is_relative_to(evidence), path
        if name == "bundle":
            files = [file for file in path.iterdir() if file.is_file()]
            assert (statistics["fileCount"], statistics["size"]) == (len(files), sum(f.stat().st_size for f in files))
            continue
        assert dataset["facets"]["modelFactory_content"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        if name == "eval_report":
            assert statistics["size"] == path.stat().st_size
    scores = one(event["inputs"], "scores")
    rows = pq.ParquetFile(scores["name"]).metadata.num_rows
    fields = scores["facets"]["schema"]["fields"]
    for column, stored in zip(fields, columns(scores["name"]), strict=True):
        assert column == {key: value for key, value in stored.items() if key in column}, (column, stored)
    assert rows == scores["inputFacets"]["inputStatistics"]["rowCount"]
    assert rows == outputs["scores"]["outputFacets"]["outputStatistics"]["rowCount"]
    found = {one["name"]: one for one in scores["inputFacets"]["dataQualityAssertions"]["assertions"]}
    for verdict in gate["thresholds"]:
        assertion = found.pop(verdict["threshold"])
        assert assertion["success"] == verdict["holds"] and assertion["column"] == "score", assertion
        assert (float(assertion["expected"]), float(assertion["actual"])) == (verdict["bound"], verdict["compared"]), assertion
        assert assertion["assertion"] == f"{verdict['metric']}_{verdict['direction']}", assertion
    positives = found.pop("min_positives")
    assert (positives["success"], positives["actual"]) == (
        gate["min_positives"]["holds"], str(gate["min_positives"]["found"])
    )
    assert not found, found.keys()


def check_run(records, request, run, inputs, evidence):
    """`records` are those of one run, in order; `run` is what the ledger shows of it."""
    events = [json.loads(record.value()) for record in records]
    states = [event["eventType"] for event in events]
    assert states == STORIES[request["request_id"]], states
    (uuid,) = {event["run"]["runId"] for event in events}
    assert {record.key().decode() for record in records} == {uuid}
    ours = [event["run"]["facets"]["modelFactory_run"] for event in events]
    assert {facet["runId"] for facet in ours} == {run["run_id"]}
    assert ours[-1].get("code") == run["reason_code"], ours[-1]
    check_inputs(events[1], request, inputs, with_columns=False)
    if states[2] == "RUNNING":
        check_inputs(events[2], request, inputs, with_columns=True)
    if states[-1] == "COMPLETE":
        check_inputs(events[-1], request, inputs, with_columns=False)
        folder = evidence / request["platform_run_id"] / "mf" / "train_runs" / run["run_id"]
        gate = json.loads((folder / "gate" / "gate_receipt.json").read_text())
        check_end(events[-1], evidence, gate, packed=gate["decision"] == "PASS")
    if states[-1] == "FAIL":
        message = events[-1]["run"]["facets"]["errorMessage"]["message"]
        assert message.startswith(f"{run['reason_code']}: "), message


def check_facets(event):
    """Facets of our own against their schemas; the client knows only that they are there."""
    def visit(value):
        if isinstance(value, dict):
            url = value.get("_schemaURL", "")
            if url.startswith(OURS):
                jsonschema.validate(value, json.loads((SCHEMAS / url.rpartition("/")[2]).read_text()))
            assert not url or url in FACETS, url
            value = list(value.values())
        for part in value if isinstance(value, list) else ():
            visit(part)

    visit(event)


def send_on(events, path):
    """Through the client and its own transport to a file, line by line."""
    client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(path), append=True)))
    for event in events:
        read_back = as_client(event)
        assert meaning(Serde.to_dict(read_back)) == meaning(event), event
        client.emit(read_back)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    for event in written:
        # The client adds its version.
        (added,) = event["run"]["facets"].pop("tags")["tags"]
        assert added["key"] == "openlineage_client_version", added
    assert [meaning(event) for event in written] == [meaning(event) for event in events]


def check_that_mistakes_are_found(event):
    for spoil in (
        lambda e: e.update(evenType="START"),
        lambda e: e["run"].update(runId="no-uuid"),
        lambda e: e["run"]["facets"]["parent"].update(_schemaURL="https://openlineage.io/spec/facets/9-9-9/X.json"),
        lambda e: e["inputs"][0]["facets"]["version"].update(version="1"),
        lambda e: e["inputs"][0]["inputFacets"]["inputStatistics"].update(rowCount="7"),
    ):
        other = json.loads(json.dumps(event))
        spoil(other)
        try:
            as_client(other)
        except (AssertionError, ValueError, TypeError):
            continue
        raise AssertionError(f"a mistake was not found: {other}")


def main(binary, brokers, database, state):
    name = f"interop-lineage-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    more = {"LINEAGE__ENABLED": "true", "LEDGER__LEASE_SECONDS": "3"}
    topics, environment = prepare(binary, brokers, database, state, name, "lineage", **more)

    sent = {key: {**value, "request_id": key, "config_revision": key} for key, value in requests(state).items()}
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for request_id, value in sent.items():
        producer.produce(topics["requests"], key=request_id, value=json.dumps(value))
    assert producer.flush(30) == 0

    def show(request_id):
        return shown_run(binary, environment, request_id)

    def is_fitting(request_id):
        return (show(request_id).get("progress") or {}).get("step") == "fit"

    log_path = state / f"{name}.log"
    with log_path.open("w", encoding="utf-8") as log:
        worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment, stderr=log)
    try:
        until("the slow run's fit", lambda: is_fitting(CANCELLED))
        cancel = [binary, "runs", "cancel", show(CANCELLED)["run_id"], "--reason", "it takes too long"]
        subprocess.run(cancel, env=environment, check=True, capture_output=True)
        ends = {PUBLISHED: "PUBLISHED", STOPPED: "FAIL", LEAKY: "FAIL", CANCELLED: "FAIL"}
        for request_id, end in ends.items():
            until(f"{request_id} at {end}", lambda: show(request_id).get("state") == end)
        count = sum(len(story) for story in STORIES.values())
        records = read(brokers, topics["lineage"], lambda found: len(found) == count)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, log_path.read_text()

    events = [json.loads(record.value()) for record in records]
    for event in events:
        check_facets(event)
    for request_id, request in sent.items():
        run = show(request_id)
        of_run = [r for r in records if dict(r.headers())["ce_subject"].decode() == run["run_id"]]
        check_run(of_run, request, run, state / "inputs", state / f"evidence-{name}")
    send_on(events, state / f"{name}.ndjson")
    check_that_mistakes_are_found(next(event for event in events if event["inputs"]))
    print(f"lineage: {len(events)} events of {len(sent)} runs read, compared and sent on by OpenLineage's client")


if __name__ == "__main__":
    main(*sys.argv[1:])
