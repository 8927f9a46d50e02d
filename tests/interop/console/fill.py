"""Fills the world of `model-factory dev` for the console: real requests by a Python Kafka client through the real worker,
until each has its outcome, and the rows of seed.sql for states that a real run leaves at once.

    python fill.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import json
import os
import pathlib
import subprocess
import sys

from confluent_kafka import Producer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from services import printed, psql_binary, until  # noqa: E402

SEEDED = 98
HOSTILE = "<script>alert(1)</script>"


def main(binary, brokers, database, state):
    state = pathlib.Path(state).resolve()
    environment = {**os.environ, "MODEL_FACTORY_LEDGER__URL": database}
    good = {**json.loads((state / "request.json").read_text()), "request_id": "console-good-0001",
            "requester_principal": HOSTILE, "config_revision": "console"}
    strict = {**good, "request_id": "console-gate-0001", "requester_principal": "fraud-ops@bank",
              "governance_profile_ref": "profiles/governance_strict.yaml"}
    values = [
        good,
        {**good, "request_id": "console-good-0002", "requester_principal": "\"' onmouseover=alert(1) x=\""},
        {**good, "request_id": "console-near-0001", "config_revision": "CONSOLE"},
        strict,
        {**good, "request_id": "console-typo-0001", HOSTILE: True},
        {**good, "request_id": HOSTILE},
    ]
    values = [json.dumps(value).encode() for value in values] + [b"<script>alert(1)</script>", b"\xff\xfe\x00 no text"]
    producer = Producer({"bootstrap.servers": brokers})
    for value in values:
        producer.produce("mf.train-requests.v0", key=b"console", value=value)
    assert producer.flush(30) == 0, "not every request was delivered"

    def decided(request_id, wanted):
        shown = printed(binary, environment, "runs", "show", request_id)
        return shown and shown[0]["run"]["state"] == wanted and shown[0]

    published = until("PUBLISHED", lambda: decided("console-good-0001", "PUBLISHED"))
    until("PUBLISHED", lambda: decided("console-near-0001", "PUBLISHED"))
    until("FAIL", lambda: decided("console-gate-0001", "FAIL"))
    assert [request["request_id"] for request in published["requests"]] == ["console-good-0001", "console-good-0002"]
    until("dead letters", lambda: len(printed(binary, environment, "dead-letters", "list") or []) >= 4)

    request = json.dumps(json.loads((state / "request.json").read_text()))
    seed = pathlib.Path(__file__).with_name("seed.sql")
    subprocess.run([psql_binary(), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--variable", f"request={request}",
                    "--variable", f"runs={SEEDED}", "--file", seed, database], check=True)
    # An act that is refused and one that is not; both are recorded.
    for act, run in [("retry-publish", "console-good-0001"), ("cancel", "seed-0007")]:
        subprocess.run([binary, "runs", act, run, "--actor", "operator", "--reason", f"because {HOSTILE}"],
                       env=environment, stdout=subprocess.DEVNULL, check=False)
    print(f"console: {len(values)} real records and {SEEDED} seeded runs are there")


if __name__ == "__main__":
    main(*sys.argv[1:])
