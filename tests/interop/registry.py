"""The whole loop with the example registry: request, bundle, publication, ingest, registry's event, PUBLISHED.

The registry is killed between ingesting and announcing, and started again. A bundle that was changed on its way is
rejected, and published once it is mended. The same id and version with other bytes is refused, and so is whatever
somebody announces who holds no key: a bundle without a signature, with one by another key, for another scope, under
another id; and a bundle that was judged by a governance profile which the registry does not know.

    python registry.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys

from confluent_kafka import Producer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from services import prepare, read, shown_run, until
from worker import BESIDE, ORDER


SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "registry" / "registry.py"


class Registry:
    """The example as a process; each start has a log of its own."""

    starts = 0

    def __init__(self, brokers, topics, folder, evidence, governance):
        self.database, self.folder = folder / "registry.sqlite", folder
        self.command = [
            sys.executable, str(SCRIPT), "--brokers", brokers, "--evidence", str(evidence), "--database",
            str(self.database), "--publications", topics["publications"], "--events", topics["registry_lifecycle"],
            "--key", str(folder / "signing.pub"), "--governance", f"demo/fraud={governance}",
        ]
        self.group, self.process, self.log = topics["publications"], None, None

    def start(self, *arguments, group=None):
        Registry.starts += 1
        self.log = self.folder / f"registry-{Registry.starts}.log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*self.command, "--group", group or self.group, *arguments], stdout=log, stderr=log
            )

    def logs(self, word, times=1):
        def logged():
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count(word) >= times

        until(f"{times} × {word!r} of the registry", logged)

    def end(self, how):
        self.process.send_signal(how)
        status = self.process.wait(30)
        assert how == signal.SIGKILL or status == 0, self.log.read_text()

    def bundles(self):
        connection = sqlite3.connect(self.database)
        (count,) = connection.execute("SELECT count(*) FROM bundles").fetchone()
        connection.close()
        return count


def private_key(path):
    key = ec.generate_private_key(ec.SECP256R1())
    # A worker starts with no key that others may read.
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    path.with_suffix(".pub").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return key


def copied(publication, evidence, name, change=lambda folder, other: None):
    """The same bundle announced from another folder, with a change to its files or to what is announced."""
    reference = f"elsewhere/{name}/bundle"
    folder = evidence / reference
    shutil.copytree(evidence / publication["bundle_ref"], folder)
    other = json.loads(json.dumps({**publication, "bundle_ref": reference}))
    change(folder, other)
    other["artifacts"] = [file for file in other["artifacts"] if (folder / file["path"]).exists()]
    for file in other["artifacts"]:
        data = (folder / file["path"]).read_bytes()
        file["sha256"], file["bytes"] = hashlib.sha256(data).hexdigest(), len(data)
    bundle = (folder / "bundle.json").read_bytes()
    other["bundle_digest"] = hashlib.sha256(bundle).hexdigest()
    return other


def signed_by(key):
    """Signs the files as they are now."""

    def sign(folder, _):
        signature = json.loads((folder / "model.sig").read_bytes())
        envelope = signature["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        for file in statement["predicate"]["resources"]:
            file["digest"] = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
        payload, kind = json.dumps(statement).encode(), envelope["payloadType"].encode()
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        envelope["payload"] = base64.b64encode(payload).decode()
        envelope["signatures"][0]["sig"] = base64.b64encode(key.sign(signed, ec.ECDSA(hashes.SHA256()))).decode()
        (folder / "model.sig").write_text(json.dumps(signature))

    return sign


def unsigned(folder, _):
    (folder / "model.sig").unlink()


def other_model(folder, _):
    model = folder / "model.json"
    model.write_bytes(model.read_bytes() + b"\n")


def for_production(_, other):
    other["scope_key"] = "production/fraud/primary"


def another_id(_, other):
    other["bundle_id"] = "0" * 64


def story(lifecycle):
    """Types of the events that every run has; a slow machine adds some that tell of progress."""
    types = [json.loads(record.value())["event_type"] for record in lifecycle]
    return [event_type for event_type in types if event_type not in BESIDE]


def main(binary, brokers, database, state):
    name = f"interop-registry-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    folder = state / name
    folder.mkdir()
    key = private_key(folder / "signing.pem")
    more = {"PUBLISH__CONFIRM": "registry", "SIGNING__KEY_FILE": str(folder / "signing.pem")}
    topics, environment = prepare(binary, brokers, database, state, name, "registry_lifecycle", **more)
    evidence = state / f"evidence-{name}"

    good = json.loads((state / "request.json").read_text())
    profile = state / "inputs" / good["governance_profile_ref"]
    lax = profile.with_name(f"{name}.yaml")
    lax.write_text(profile.read_text() + "# anybody may write this, under the same name and revision\n")

    def ask(request_id, **changes):
        value = {**good, **changes, "request_id": request_id}
        value["config_revision"] = request_id
        producer.produce(topics["requests"], key=request_id, value=json.dumps(value))
        assert producer.flush(30) == 0

    def show(request_id):
        assert worker.poll() is None, (folder / "worker.log").read_text()
        return shown_run(binary, environment, request_id)

    def stands(request_id, state, code=None):
        run = show(request_id)
        return run if (run.get("state"), run.get("reason_code")) == (state, code) else None

    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    registry = Registry(brokers, topics, folder, evidence, hashlib.sha256(profile.read_bytes()).hexdigest())
    with (folder / "worker.log").open("w", encoding="utf-8") as log:
        worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment, stderr=log)
    try:
        # Killed between ingesting and announcing.
        ask("req-registry-0001")
        registry.start("--pause-before-announcing", "600")
        registry.logs(" ingested")
        registry.end(signal.SIGKILL)
        assert registry.bundles() == 1
        waiting = until("the acknowledgement", lambda: (run := show("req-registry-0001")).get("published") and run)
        assert waiting["state"] == "PUBLISH_PENDING" and waiting["answer_due_at"], waiting
        read(brokers, topics["registry_lifecycle"], lambda records: not records)

        registry.start()
        registry.logs(" again")
        published = until("PUBLISHED", lambda: stands("req-registry-0001", "PUBLISHED"))
        assert published["published"] == waiting["published"] and registry.bundles() == 1, published
        registry.end(signal.SIGTERM)
        lifecycle = read(brokers, topics["lifecycle"], lambda records: len(story(records)) == len(ORDER))
        assert story(lifecycle) == ORDER

        # Everything once more by another group: the same announcement, nothing ingested twice.
        registry.start(group=f"{name}-anew")
        registry.logs(" again")
        registry.end(signal.SIGTERM)
        events = read(brokers, topics["registry_lifecycle"], lambda records: len(records) == 2)
        assert events[0].value() == events[1].value() and registry.bundles() == 1

        # Changed on its way to the registry, rejected; mended, and published by an operator's command.
        ask("req-registry-0002")
        publications = read(brokers, topics["publications"], lambda records: len(records) == 2)
        changed = evidence / json.loads(publications[1].value())["bundle_ref"] / "model.json"
        model = changed.read_bytes()
        changed.write_bytes(model + b"\n")
        registry.start()
        rejected = until("the rejection", lambda: stands("req-registry-0002", "PUBLISH_PENDING", "PUBLISH_REJECTED"))
        assert "model.json has digest" in rejected["reason_message"], rejected
        changed.write_bytes(model)
        retry = [binary, "runs", "retry-publish", rejected["run_id"], "--reason", "the file is mended"]
        subprocess.run(retry, env=environment, check=True, capture_output=True)
        mended = until("PUBLISHED after all", lambda: stands("req-registry-0002", "PUBLISHED"))
        assert (mended["full_run_attempts"], mended["publish_retry_attempts"]) == (1, 1) and registry.bundles() == 2

        # What others announce. Only a new signature by the right key leaves id and version as they are.
        first = json.loads(publications[0].value())
        stranger = ec.generate_private_key(ec.SECP256R1())
        for number, (change, why) in enumerate([
            (signed_by(key), "is here already with other bytes"),
            (unsigned, "the bundle is not signed"),
            (signed_by(stranger), "no key of this registry made model.sig"),
            (other_model, "model.sig signs other files"),
            (for_production, "the bundle was built for demo/fraud/primary"),
            (another_id, "id, version or run of the publication"),
        ]):
            other = copied(first, evidence, f"{name}-{number}", change)
            producer.produce(topics["publications"], key=other["scope_key"], value=json.dumps(other))
            assert producer.flush(30) == 0
            registry.logs(why)
        assert registry.bundles() == 2

        # A bundle that the worker built and signed, judged by a profile that is not the operator's.
        ask("req-registry-0003", governance_profile_ref=str(lax.relative_to(state / "inputs")))
        other = until("the refusal", lambda: stands("req-registry-0003", "PUBLISH_PENDING", "PUBLISH_REJECTED"))
        assert "may be judged by the governance profile" in other["reason_message"], other
        assert registry.bundles() == 2
        registry.end(signal.SIGTERM)
        assert stands("req-registry-0001", "PUBLISHED"), "the conflict is about another bundle"
    finally:
        if registry.process is not None and registry.process.poll() is None:
            registry.process.kill()
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, (folder / "worker.log").read_text()
    print("registry: killed between ingest and announcement and started again, 2 bundles ingested once each, 8 rejections")


if __name__ == "__main__":
    main(*sys.argv[1:])
