"""A small model registry: takes the bundles that Model Factory announces, each once.

It reads publications, fetches each bundle from the evidence root by its `bundle_ref`, verifies every file against
the publication, ingests the bundle once by (bundle_id, bundle_version) into SQLite, refuses the same id and version
with other bytes, and announces BUNDLE_PUBLISHED or BUNDLE_REJECTED. With `publish.confirm = "registry"` a worker waits
for that word.

It may be killed at any moment. Bundle and verdict are committed to SQLite before anything is announced, and the
offset of a publication is committed after its announcement was acknowledged. So a publication may be read again, and
is then announced again, with the same bytes and the same `registry_event_id`; nothing is ingested twice.

    pip install confluent-kafka
    python registry.py --brokers localhost:9092 --evidence /var/lib/model-factory/evidence --database registry.sqlite
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import signal
import sqlite3
import sys
import time

from confluent_kafka import Consumer, Producer

SCHEMA = """
CREATE TABLE IF NOT EXISTS bundles (
    bundle_id      TEXT NOT NULL,
    bundle_version TEXT NOT NULL,
    -- Digest over paths and digests of all files: what these id and version stand for.
    content_digest TEXT NOT NULL,
    scope_key      TEXT NOT NULL,
    bundle_ref     TEXT NOT NULL,
    manifest       BLOB NOT NULL,
    ingested_at    TEXT NOT NULL,
    PRIMARY KEY (bundle_id, bundle_version)
);
CREATE TABLE IF NOT EXISTS verdicts (
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    event     BLOB NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);
"""


# Fields of a publication without which nobody can be answered.
NAMES = ("bundle_id", "bundle_version", "bundle_digest", "bundle_ref", "scope_key")


class Rejected(Exception):
    """The bundle is not taken; the text says why."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def inside(root, *parts):
    """A path below the root: references come from elsewhere, and must not lead out of it."""
    path = root.joinpath(*parts).resolve()
    if not path.is_relative_to(root):
        raise Rejected(f"{'/'.join(parts)} leads out of {root.name}")
    return path


def verified(publication, root):
    """Every file of the bundle read and compared with the publication; gives bundle.json and the content digest."""
    try:
        folder = inside(root, publication["bundle_ref"])
        expected = {file["path"]: (file["sha256"], file["bytes"]) for file in publication["artifacts"]}
        paths = {path: inside(folder, path) for path in expected}
    except (KeyError, TypeError, ValueError) as error:
        raise Rejected(f"the publication's list of files is not one: {error!r}") from error
    manifest = None
    for path, (digest, size) in sorted(expected.items()):
        if not paths[path].is_file():
            raise Rejected(f"{path} is not in the bundle")
        data = paths[path].read_bytes()
        if (sha256(data), len(data)) != (digest, size):
            raise Rejected(f"{path} has digest {sha256(data)} and {len(data)} bytes, not {digest} and {size}")
        if path == "bundle.json":
            manifest = data
    if manifest is None or sha256(manifest) != publication["bundle_digest"]:
        raise Rejected("bundle.json is not the one that the publication names")
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    if there != set(expected):
        raise Rejected(f"the bundle holds files that the publication does not name: {sorted(there - set(expected))}")
    content = json.dumps(sorted((path, digest) for path, (digest, _) in expected.items()))
    return manifest, sha256(content.encode())


def ingest(database, publication, root):
    """Puts the bundle into the database, once; says whether it is new."""
    manifest, content = verified(publication, root)
    key = (publication["bundle_id"], publication["bundle_version"])
    found = database.execute(
        "SELECT content_digest FROM bundles WHERE bundle_id = ? AND bundle_version = ?", key
    ).fetchone()
    if found is None:
        row = (*key, content, publication["scope_key"], publication["bundle_ref"], manifest, now())
        database.execute("INSERT INTO bundles VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return True
    if found[0] != content:
        raise Rejected(f"{key[0]} {key[1]} is here already with other bytes")
    return False


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def decide(database, record, root, actor):
    """The event that answers a publication: made once, in the transaction that ingests the bundle."""
    at = (record.topic(), record.partition(), record.offset())
    stored = database.execute(
        'SELECT event FROM verdicts WHERE topic = ? AND partition = ? AND "offset" = ?', at
    ).fetchone()
    if stored is not None:
        return stored[0], "again"
    try:
        publication = json.loads(record.value())
        if not all(isinstance(publication[field], str) for field in NAMES):
            raise TypeError(f"{', '.join(NAMES)} must be text")
    except (TypeError, ValueError, KeyError) as error:
        # Nobody can be told which bundle it was about.
        return None, f"passed over, no publication: {error!r}"
    subject = {"scope_key": publication["scope_key"], "bundle_ref": publication["bundle_ref"]}
    event = {"registry_event_id": "reg-" + "/".join(map(str, at)), **subject, "actor": actor, "ts_utc": now()}
    with database:
        try:
            new = ingest(database, publication, root)
            reference = {"ref": f"{subject['bundle_ref']}/bundle.json", "sha256": publication["bundle_digest"]}
            event |= {"event_type": "BUNDLE_PUBLISHED", "evidence_refs": [reference]}
            what = "ingested" if new else "known"
        except Rejected as why:
            event |= {"event_type": "BUNDLE_REJECTED", "evidence_refs": [], "reason": str(why)[:4096]}
            what = f"rejected: {why}"
        value = json.dumps(event, sort_keys=True).encode()
        database.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?)", (*at, value))
    return value, what


def announce(producer, topic, value):
    """Returns when the broker has acknowledged the event."""
    failed = []
    key = json.loads(value)["scope_key"]
    producer.produce(topic, key=key, value=value, on_delivery=lambda error, _: error and failed.append(error))
    if producer.flush(60) or failed:
        raise RuntimeError(f"the event was not acknowledged: {failed}")


def serve(options):
    database = sqlite3.connect(options.database)
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(SCHEMA)
    consumer = Consumer({
        "bootstrap.servers": options.brokers,
        "group.id": options.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    })
    producer = Producer({"bootstrap.servers": options.brokers, "enable.idempotence": True, "acks": "all"})
    consumer.subscribe([options.publications])
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(True))
    root = options.evidence.resolve()
    while not stopped:
        record = consumer.poll(0.5)
        if record is None:
            continue
        if record.error():
            print(f"waiting: {record.error()}", file=sys.stderr, flush=True)
            continue
        value, what = decide(database, record, root, options.actor)
        print(f"{record.topic()}/{record.partition()}/{record.offset()} {what}", flush=True)
        if options.pause_before_announcing:
            time.sleep(options.pause_before_announcing)
        if value is not None:
            announce(producer, options.events, value)
        consumer.commit(record, asynchronous=False)
    consumer.close()
    database.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True, help="bootstrap servers, comma-separated")
    parser.add_argument("--evidence", required=True, type=pathlib.Path, help="folder of the worker's evidence store")
    parser.add_argument("--database", required=True, help="SQLite file; made where it does not exist")
    parser.add_argument("--publications", default="mf.bundle-publications.v0", help="topic to read (%(default)s)")
    parser.add_argument("--events", default="learning.registry_lifecycle.v0", help="topic to announce on (%(default)s)")
    parser.add_argument("--group", default="example-registry", help="consumer group (%(default)s)")
    parser.add_argument("--actor", default="example-registry", help="who announces (%(default)s)")
    parser.add_argument(
        "--pause-before-announcing", type=float, default=0, metavar="SECONDS",
        help="wait between ingesting and announcing: for trying what a crash leaves (%(default)s)",
    )
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
