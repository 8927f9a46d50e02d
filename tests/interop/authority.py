"""securesystemslib signs requests for a worker whose policy wants signatures, and verifies a request that `submit` signed.

    python authority.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import copy
import json
import os
import pathlib
import signal
import subprocess
import sys

from confluent_kafka import Producer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey
from services import prepare, read


KIND = "application/vnd.modelfactory.request+json"
POLICY = """\
schema_version: platform.requester_policy.v0
principals:
  - names: [{requester}]
    keys: [{{file: ed25519.pub}}, {{file: p256.pub}}]
    may: [{{intents: [{intent}], scopes: ["*"], tenants: ["*"], publish: true, inputs: ["*"], training_profiles: ["*"],
            governance_profiles: ["*"]}}]
"""


def private_keys(folder):
    keys = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p256": ec.generate_private_key(ec.SECP256R1())}
    for name, key in keys.items():
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / f"{name}.pub").write_bytes(public)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(private)
    return keys


def seal(key, request):
    envelope = Envelope(json.dumps(request, indent=1).encode(), KIND, {})
    envelope.sign(CryptoSigner(key))
    return envelope.to_dict()


def main(binary, brokers, database, state):
    name = f"interop-authority-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    folder = state / name
    folder.mkdir()
    topics, environment = prepare(binary, brokers, database, state, name)
    keys = private_keys(folder)
    good = json.loads((state / "request.json").read_text())
    policy = POLICY.format(requester=good["requester_principal"], intent=good["intent_kind"])
    (folder / "policy.yaml").write_text(policy)
    environment["MODEL_FACTORY_AUTHORITY__POLICY"] = str(folder / "policy.yaml")

    request = {curve: {**good, "request_id": f"req-{curve}-0001", "config_revision": curve} for curve in keys}
    accepted = [seal(key, request[curve]) for curve, key in keys.items()]
    forged = copy.deepcopy(accepted[0])
    forged["payload"] = seal(keys["ed25519"], {**request["ed25519"], "policy_revision": "forged"})["payload"]
    stranger = seal(ed25519.Ed25519PrivateKey.generate(), {**good, "request_id": "req-stranger-0001"})
    refused = [forged, stranger, {**good, "request_id": "req-unsigned-0001"}]
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for value in (*accepted, *refused):
        producer.produce(topics["requests"], value=json.dumps(value))
    assert producer.flush(30) == 0

    # `submit` signs the same request as securesystemslib did, so that it joins that run.
    (folder / "request.json").write_text(json.dumps({**request["p256"], "request_id": "req-submitted-0001"}))
    (folder / "p256.pem").chmod(0o600)
    command = [binary, "submit", str(folder / "request.json"), "--sign-with", str(folder / "p256.pem")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    ours = Envelope.from_dict(json.loads(read(brokers, topics["requests"], lambda found: len(found) == 6)[-1].value()))
    (keyid,) = ours.signatures
    assert ours.verify([SSlibKey.from_crypto(keys["p256"].public_key(), keyid)], 1)

    worker = subprocess.Popen([binary, "worker", "--roles", "intake,relay", "--from", "earliest"], env=environment)
    try:
        letters = read(brokers, topics["dead_letters"], lambda found: len(found) == 3)
        events = read(brokers, topics["lifecycle"], lambda found: len(found) == 6)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"
    codes = [dict(letter.headers())["mf_code"] for letter in letters]
    assert codes == [b"SIGNATURE_INVALID"] * 3, codes
    assert sorted(letter.value() for letter in letters) == sorted(json.dumps(value).encode() for value in refused)
    emitted = sorted((event["event_type"], event["request_id"]) for event in map(lambda e: json.loads(e.value()), events))
    assert emitted == [
        ("request.admitted", "req-ed25519-0001"),
        ("request.admitted", "req-p256-0001"),
        ("request.deduplicated", "req-submitted-0001"),
        ("request.rejected", "req-ed25519-0001"),
        ("request.rejected", "req-stranger-0001"),
        ("request.rejected", "req-unsigned-0001"),
    ], emitted
    print("authority: signatures of securesystemslib hold, forged ones do not; it verifies ours")


if __name__ == "__main__":
    main(*sys.argv[1:])
