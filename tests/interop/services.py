"""What one check needs of its own: a database with a ledger, topics and a worker's settings; and reading a topic."""

import json
import os
import pathlib
import subprocess
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPICS = ("requests", "lifecycle", "publications", "dead_letters")


def psql_binary():
    bindir = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
    candidates = [pathlib.Path(bindir) / "psql", *sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))]
    return next(str(path) for path in [*candidates, pathlib.Path("/usr/bin/psql")] if path.exists())


def psql(url, sql):
    subprocess.run([psql_binary(), "--quiet", "--no-psqlrc", "--command", sql, url], check=True)


def prepare(binary, brokers, database, state, name, *more_topics, **more_settings):
    """Topics by kind, and the environment of a worker on them, with a new database whose ledger is migrated."""
    psql(database, f'CREATE DATABASE "{name}"')
    topics = {kind: f"{name}-{kind}" for kind in (*TOPICS, *more_topics)}
    environment = {
        **os.environ,
        **{f"MODEL_FACTORY_KAFKA__TOPICS__{kind.upper()}": topic for kind, topic in topics.items()},
        "MODEL_FACTORY_KAFKA__BROKERS": brokers,
        "MODEL_FACTORY_KAFKA__GROUP_ID": name,
        "MODEL_FACTORY_LEDGER__URL": f"{database.rsplit('/', 1)[0]}/{name}",
        "MODEL_FACTORY_EVIDENCE__URL": f"file://{state}/evidence-{name}",
        "MODEL_FACTORY_INPUTS__ROOT": f"{state}/inputs",
        "MODEL_FACTORY_TRAINER__SCRATCH": f"{state}/scratch-{name}",
        "MODEL_FACTORY_WORKER__HTTP": "127.0.0.1:0",
        "MODEL_FACTORY_SIGNING__ALLOW_UNSIGNED": "true",
        **{f"MODEL_FACTORY_{key}": value for key, value in more_settings.items()},
    }
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics.values()]).values():
        future.result(30)
    subprocess.run([binary, "migrate"], env=environment, check=True)
    return topics, environment


def read(brokers, topic, enough, patience=120):
    """Every record from the beginning until `enough` is true of them; a record after that is an error."""
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


def until(what, condition, patience=240):
    """The first value of `condition` that is true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {patience} seconds for {what}")


def printed(binary, environment, *arguments):
    """What a command prints as JSON lines, or none where it fails."""
    done = subprocess.run([binary, *arguments, "--output", "json"], env=environment, capture_output=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else None


def shown_run(binary, environment, request_id):
    """The run of a request as `runs show` prints it; empty where there is none yet."""
    [shown] = printed(binary, environment, "runs", "show", request_id) or [{"run": {}}]
    return shown["run"]


def without_progress(records):
    """The records but for `run.progress`, which a worker emits only for a trainer that takes long."""
    return [record for record in records if json.loads(record.value())["event_type"] != "run.progress"]
