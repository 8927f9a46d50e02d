"""A small model registry: takes the bundles that Model Factory announces, each once.

It reads publications, fetches each bundle from the evidence root by its `bundle_ref`, verifies every file against
the publication, and believes the publication in nothing that it can check: the signature must be by a key that it was
given, over exactly these files; id and version must follow from the files; the scope must be the one that the signed
bundle names; and the bundle must have been judged by a governance profile that was given for that scope. It ingests the
bundle once by (bundle_id, bundle_version) into SQLite, refuses the same id and version with other bytes, and announces
BUNDLE_PUBLISHED or BUNDLE_REJECTED. With `publish.confirm = "registry"` a worker waits
for that word.

It may be killed at any moment. Bundle and verdict are committed to SQLite before anything is announced, and the
offset of a publication is committed after its announcement was acknowledged. So a publication may be read again, and
is then announced again, with the same bytes and the same `registry_event_id`; nothing is ingested twice.

    pip install confluent-kafka cryptography
    python registry.py --brokers localhost:9092 --evidence /var/lib/model-factory/evidence --database registry.sqlite \\
        --key signing.pub --governance production/fraud=<sha256 of the governance profile>
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import json
import pathlib
import signal
import sqlite3
import sys
import time

from confluent_kafka import Consumer, Producer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

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


SIGNATURE = "model.sig"
STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"


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


def canonical(value):
    """JSON as Model Factory writes it for a digest: sorted keys, no white space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def signed_files(signature, keys):
    """Names and digests of the files that one of these keys signed: a Sigstore bundle with a DSSE envelope."""
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        payload, kind = base64.b64decode(envelope["payload"], validate=True), envelope["payloadType"]
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Rejected(f"{SIGNATURE} is no signature: {error!r}") from error
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)

    def holds(key, one):
        try:
            key.verify(one, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    if not any(holds(key, one) for key in keys for one in signatures):
        raise Rejected(f"no key of this registry made {SIGNATURE}")
    statement = json.loads(payload)
    if (kind, statement.get("predicateType")) != (STATEMENT, PREDICATE):
        raise Rejected(f"{SIGNATURE} is a signature over something else")
    return {file["name"]: file["digest"] for file in statement["predicate"]["resources"]}


def judge(publication, files, trust):
    """Refuses a bundle whose announcement says what the signed files do not, or that was judged by no known profile."""
    digests = {path: sha256(data) for path, data in files.items() if path != SIGNATURE}
    if trust.keys:
        if SIGNATURE not in files:
            raise Rejected("the bundle is not signed")
        if signed_files(files[SIGNATURE], trust.keys) != digests:
            raise Rejected(f"{SIGNATURE} signs other files")
    bundle = json.loads(files["bundle.json"])
    lineage = bundle["lineage"]
    bundle_id = sha256(canonical(sorted([path, digest] for path, digest in digests.items())))
    revisions = {name: lineage["revisions"][name] for name in ("config_revision", "policy_revision")}
    version = {"payload": {"bundle_id": bundle_id, **revisions}, "recipe": "mf.bundle_version.v1"}
    found = (bundle_id, f"v0-{sha256(canonical(version))[:12]}", bundle["run_id"])
    if found != tuple(publication.get(name) for name in ("bundle_id", "bundle_version", "run_id")):
        raise Rejected("id, version or run of the publication are not those of the files")
    scope = bundle["target_scope"]
    scope_key = "/".join(scope[name] for name in ("environment", "mode", "bundle_slot", "tenant_id") if name in scope)
    if scope_key != publication["scope_key"]:
        raise Rejected(f"the bundle was built for {scope_key}, and is announced for {publication['scope_key']}")
    profile = lineage["governance_profile"]["sha256"]
    if (publication.get("governance_profile") or {}).get("sha256") != profile:
        raise Rejected("the publication names another governance profile than the bundle")
    if not trust.any_governance and not any(
        profile == digest and f"{scope_key}/".startswith(f"{prefix}/") for prefix, digest in trust.governance
    ):
        raise Rejected(f"no bundle for {scope_key} may be judged by the governance profile {profile}")
    receipt = json.loads(files["gate_receipt.json"])
    judged_by = (receipt.get("governance_profile") or {}).get("sha256")
    if (receipt["decision"], receipt["run_id"], judged_by) != ("PASS", bundle["run_id"], profile):
        raise Rejected("the gate's receipt is no PASS of this run under this profile")


class Trust:
    """What this registry was told: keys that sign bundles, and governance profiles by scope."""

    def __init__(self, keys=(), governance=(), any_governance=False):
        self.keys, self.governance, self.any_governance = list(keys), list(governance), any_governance


def verified(publication, root, trust):
    """Every file of the bundle read, compared and judged; gives bundle.json and the content digest."""
    try:
        folder = inside(root, publication["bundle_ref"])
        expected = {file["path"]: (file["sha256"], file["bytes"]) for file in publication["artifacts"]}
        paths = {path: inside(folder, path) for path in expected}
    except (KeyError, TypeError, ValueError) as error:
        raise Rejected(f"the publication's list of files is not one: {error!r}") from error
    files = {}
    for path, (digest, size) in sorted(expected.items()):
        if not paths[path].is_file():
            raise Rejected(f"{path} is not in the bundle")
        data = paths[path].read_bytes()
        if (sha256(data), len(data)) != (digest, size):
            raise Rejected(f"{path} has digest {sha256(data)} and {len(data)} bytes, not {digest} and {size}")
        files[path] = data
    manifest = files.get("bundle.json")
    if manifest is None or sha256(manifest) != publication["bundle_digest"]:
        raise Rejected("bundle.json is not the one that the publication names")
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    if there != set(expected):
        raise Rejected(f"the bundle holds files that the publication does not name: {sorted(there - set(expected))}")
    try:
        judge(publication, files, trust)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Rejected(f"the bundle's documents are not what they should be: {error!r}") from error
    content = json.dumps(sorted((path, digest) for path, (digest, _) in expected.items()))
    return manifest, sha256(content.encode())


def ingest(database, publication, root, trust):
    """Puts the bundle into the database, once; says whether it is new."""
    manifest, content = verified(publication, root, trust)
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


def decide(database, record, root, actor, trust):
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
            new = ingest(database, publication, root, trust)
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


def governance(text):
    """`production/fraud=<sha256>`: bundles of scopes that begin so may be judged by that profile."""
    prefix, _, digest = text.partition("=")
    if not prefix or len(digest) != 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not SCOPE=SHA256")
    return prefix.strip("/"), digest


def public_key(path):
    return load_pem_public_key(pathlib.Path(path).read_bytes())


def serve(options):
    trust = Trust(options.key, options.governance, options.any_governance)
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
        value, what = decide(database, record, root, options.actor, trust)
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
    signed = parser.add_mutually_exclusive_group(required=True)
    signed.add_argument(
        "--key", action="append", default=[], type=public_key, help="public key that signs bundles; may be repeated"
    )
    signed.add_argument("--allow-unsigned", action="store_true", help="take bundles that anybody could have made")
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument(
        "--governance", action="append", default=[], type=governance, metavar="SCOPE=SHA256",
        help="profile by which bundles of this scope may be judged; may be repeated",
    )
    judged.add_argument("--any-governance", action="store_true", help="take bundles that were judged by any profile")
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
