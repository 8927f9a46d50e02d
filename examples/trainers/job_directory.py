"""What every trainer does with its folder: read the job, tell how far it is, leave a result.

Model Factory starts a trainer in a folder of its own; README.md beside this file tells the contract.
"""

import json
import os
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

MODEL = pathlib.Path("model")


def read_job():
    """The job, and the names of the features in the model's order."""
    job = json.loads(pathlib.Path("job.json").read_text())
    if job["schema_version"] != "learning.trainer_job.v0":
        raise SystemExit(f"this trainer does not know {job['schema_version']}")
    return job, [feature["name"] for feature in job["features"]]


def parameters(job, defaults):
    """The job's parameters over these defaults; one that is not among them is a mistake."""
    unknown = set(job["parameters"]) - set(defaults)
    if unknown:
        raise SystemExit(f"unknown parameters: {', '.join(sorted(unknown))}")
    return {**defaults, **job["parameters"]}


def tell(step, fraction, message):
    """A line of progress on standard output."""
    print(json.dumps({"step": step, "fraction": fraction, "message": message}), flush=True)


def leave_scores(row_ids, scores):
    """`scores.parquet`: one probability for each row of score.parquet, in any order."""
    pq.write_table(pa.table({"row_id": row_ids, "score": pa.array(scores, pa.float32())}), "scores.parquet")


def leave_result(model_format, path):
    """`result.json`, last of all and in one piece: where it stands, the trainer is done."""
    result = {
        "schema_version": "learning.trainer_result.v0",
        "model": {"format": model_format, "path": str(path)},
    }
    pathlib.Path("result.tmp").write_text(json.dumps(result))
    os.replace("result.tmp", "result.json")
