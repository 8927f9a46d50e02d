"""A job directory to try a trainer on by hand: made-up payments in the shape of the contract.

    python make_job.py FOLDER [--parameters JSON] [--rows N]
"""

import argparse
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES = ["amount", "terminal_risk", "night"]


def payments(rng, first, rows, with_label):
    amount, risk = rng.lognormal(3, 1, rows), rng.beta(1, 20, rows)
    night = rng.random(rows) < 0.2
    fraud = rng.random(rows) < 1 / (1 + np.exp(6 - amount / 60 - 12 * risk - night))
    columns = {
        "row_id": pa.array(np.arange(first, first + rows)),
        "event_time": pa.array((first + np.arange(rows)) * 1_000_000, pa.timestamp("us", "UTC")),
        **({"label": pa.array(fraud)} if with_label else {}),
        "amount": pa.array(amount, pa.float32()),
        "terminal_risk": pa.array(risk, pa.float32()),
        "night": pa.array(night, pa.float32()),
    }
    return pa.table(columns)


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=pathlib.Path)
    asked.add_argument("--parameters", type=json.loads, default={})
    asked.add_argument("--rows", type=int, default=20_000)
    asked = asked.parse_args()
    asked.folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows = {"train": asked.rows, "validation": asked.rows // 5, "score": asked.rows // 2}
    first = 0
    for name, count in rows.items():
        pq.write_table(payments(rng, first, count, name != "score"), asked.folder / f"{name}.parquet")
        first += count
    job = {
        "schema_version": "learning.trainer_job.v0",
        "run_id": "tr_" + "0" * 32,
        "parameters": asked.parameters,
        "features": [{"name": name, "type": "numeric"} for name in FEATURES],
        "categories": [],
        "seed": 42,
        "threads": 2,
        "files": {name: f"{name}.parquet" for name in rows},
        "rows": rows,
        "limits": {
            "wall_seconds": 3600, "memory_mib": 4096, "cpu_seconds": 7200, "file_mib": 1024, "processes": 32,
            "max_rows": 1_000_000, "max_categories": 1000,
        },
    }
    (asked.folder / "job.json").write_text(json.dumps(job, indent=2))


if __name__ == "__main__":
    main()
