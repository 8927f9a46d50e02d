"""Sends a request with a foreign client and follows it to its outcome.

    pip install confluent-kafka
    python examples/produce_and_follow.py 127.0.0.1:39437 examples/request.json
"""

import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

REQUESTS = "mf.train-requests.v0"
LIFECYCLE = "mf.run-lifecycle.v0"
PUBLICATIONS = "mf.bundle-publications.v0"
LAST = {"run.failed", "run.gate_failed", "run.cancelled", "request.rejected", "publish.published", "publish.exhausted"}


def follow(brokers, topics):
    """A consumer that sees what comes from now on."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "follower", "enable.auto.commit": False})
    places = []
    for topic in topics:
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            places.append(TopicPartition(topic, partition, end))
    consumer.assign(places)
    return consumer


def main(brokers, path):
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    consumer = follow(brokers, [LIFECYCLE, PUBLICATIONS])
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    producer.produce(REQUESTS, key=request["request_id"], value=json.dumps(request))
    producer.flush(10)

    deadline = time.monotonic() + 300
    run_id, outcome, published = None, None, False
    while time.monotonic() < deadline:
        record = consumer.poll(1.0)
        if record is None or record.error():
            continue
        value = json.loads(record.value())
        if record.topic() == PUBLICATIONS and value["run_id"] == run_id:
            published = True
            print(f"publication  {value['bundle_id']} version {value['bundle_version']} at {value['bundle_ref']}")
        elif record.topic() == LIFECYCLE and (value["request_id"] == request["request_id"] or value["run_id"] == run_id):
            run_id = value["run_id"]
            reason = value.get("reason") or {}
            print(f"{value.get('seq', '-'):>3}  {value['event_type']:24} {value.get('state', ''):16} {reason.get('code', '')}")
            if value["event_type"] in LAST:
                outcome = value["event_type"]
        if outcome and (published or outcome != "publish.published"):
            return 0 if outcome == "publish.published" else 1
    print("no outcome within five minutes", file=sys.stderr)
    return 2


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
