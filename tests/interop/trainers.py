"""The example trainers, each through the whole worker to a published bundle that its own library and MLflow load.

    python trainers.py BINARY BROKERS DATABASE_URL DEV_STATE_DIR
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import mlflow.pyfunc
import numpy as np
import parity
import pyarrow.parquet as pq
import skops.io
import xgboost
from confluent_kafka import Producer
from services import prepare, read

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "trainers"
# Name, script, parameters, and what the registration adds.
TRAINERS = [
    ("sklearn", "sklearn_trainer.py", "{strength: 0.5}", {}),
    ("xgboost", "xgboost_trainer.py", "{rounds: 100, max_depth: 5, eta: 0.1, early_stopping_rounds: 20}", {}),
    # Two worker processes on this machine: they talk TCP, and their locks are in shared memory.
    ("dask", "dask_trainer.py", "{workers: 2, rounds: 50, max_depth: 4}", {"NETWORK": "true", "WRITE": '["/dev/shm"]'}),
]


def registrations():
    variables = {}
    for name, script, _, more in TRAINERS:
        prefix = f"MODEL_FACTORY_TRAINER__COMMANDS__{name.upper()}__"
        own = {
            "PROGRAM": sys.executable,
            "ARGUMENTS": json.dumps([str(EXAMPLES / script)]),
            "READ": json.dumps([str(EXAMPLES)]),
            **more,
        }
        variables.update({prefix + key: value for key, value in own.items()})
    return variables


def request(state, name, parameters):
    """The dev environment's request with a profile that names this trainer."""
    value = json.loads((state / "request.json").read_text())
    profile = (state / "inputs" / value["training_config_ref"]).read_text()
    algorithm = f"algorithm:\n  id: process:{name}\n  parameters: {parameters}\n"
    changed, count = re.subn(r"^algorithm:\n(  .*\n)+", algorithm, profile, flags=re.MULTILINE)
    assert count == 1, profile
    reference = f"profiles/{name}_trainer.yaml"
    (state / "inputs" / reference).write_text(changed)
    gate = "policy_id: trainers\nrevision: r1\ncontrols: {require_pass_gate: true}\neval_thresholds: {min_auc_roc: 0.7}\n"
    (state / "inputs" / "profiles" / "trainers_gate.yaml").write_text(gate)
    return {
        **value, "request_id": f"req-trainer-{name}", "training_config_ref": reference,
        "governance_profile_ref": "profiles/trainers_gate.yaml",
    }


def check_scoring(binary, bundle, data, name, expected):
    """`model-factory score` scores with a model that a command saved in XGBoost's format, and refuses any other by its name."""
    if not (bundle / "model.json").exists():
        refused = subprocess.run([binary, "score", bundle, data, "--allow-unsigned"], capture_output=True, text=True)
        assert refused.returncode == 1 and "saved as skops" in refused.stderr, refused
        assert not data.with_suffix(".scores.parquet").exists()
        return
    _, found = parity.score(binary, bundle, data)
    found = found.set_index("row_id").loc[expected.index]
    difference = float(np.abs(found["score"] - expected["score"]).max())
    assert difference <= 1e-6, f"{name}: its own scores and those of `model-factory score` differ by {difference}"


def check_bundle(binary, state, evidence, name, run_id):
    run = next(evidence.glob(f"*/mf/train_runs/{run_id}"))
    manifest = json.loads((run / "bundle" / "bundle.json").read_text())
    features = [feature["name"] for feature in manifest["features"]]
    scores = pq.read_table(run / "model" / "scores.parquet").to_pandas().set_index("row_id")
    columns = json.loads((run / "inputs" / "manifest_0.json").read_text())["materializations"][0]["columns"]
    rows = pq.read_table(state / "inputs" / manifest["lineage"]["data"][0]["ref"]).to_pandas()
    inputs = rows.set_index(columns["row_id"]).loc[scores.index][features].astype("float32")
    if (run / "bundle" / "model.skops").exists():
        model = skops.io.load(run / "bundle" / "model.skops", trusted=None)
        by_library = model.predict_proba(inputs.to_numpy("float64"))[:, 1]
    else:
        booster = xgboost.Booster(model_file=str(run / "bundle" / "model.json"))
        by_library = booster.predict(xgboost.DMatrix(inputs, feature_names=features))
    by_mlflow = mlflow.pyfunc.load_model(str(run / "bundle")).predict(inputs)["score"]
    for reader, found in (("its library", by_library), ("mlflow", by_mlflow)):
        difference = float(np.abs(found - scores["score"].to_numpy()).max())
        assert difference <= 1e-6, f"{name}: scores by {reader} differ by {difference}"
    check_scoring(binary, run / "bundle", state / "inputs" / manifest["lineage"]["data"][0]["ref"], name, scores)
    plan = json.loads((run / "bundle" / "resolved_train_plan.json").read_text())
    assert plan["algorithm"]["id"] == f"process:{name}" and plan["algorithm"]["command"]["files"], plan["algorithm"]
    report = json.loads((run / "eval" / "eval_report.json").read_text())
    print(f"{name}: published, auc_roc {report['metrics']['scores']['auc_roc']['value']:.4f}, scores equal in MLflow")


def main(binary, brokers, database, state):
    name = f"interop-trainers-{os.getpid()}"
    state = pathlib.Path(state).resolve()
    topics, environment = prepare(binary, brokers, database, state, name)
    environment |= registrations()
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for trainer, _, parameters, _ in TRAINERS:
        producer.produce(topics["requests"], key=b"trainers", value=json.dumps(request(state, trainer, parameters)))
    assert producer.flush(30) == 0

    def settled(records):
        ends = ("publish.published", "run.failed", "run.gate_failed")
        return sum(json.loads(record.value())["event_type"] in ends for record in records) == len(TRAINERS)

    worker = subprocess.Popen([binary, "worker", "--from", "earliest"], env=environment)
    try:
        events = [json.loads(record.value()) for record in read(brokers, topics["lifecycle"], settled, patience=400)]
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
    assert status == 0, f"the worker ended with {status}"
    failed = [event["reason"] for event in events if event["event_type"] in ("run.failed", "run.gate_failed")]
    assert not failed, failed
    run_of = {event["request_id"]: event["run_id"] for event in events}
    for trainer, *_ in TRAINERS:
        check_bundle(binary, state, pathlib.Path(f"{state}/evidence-{name}"), trainer, run_of[f"req-trainer-{trainer}"])


if __name__ == "__main__":
    main(*sys.argv[1:])
