"""Gradient-boosted trees on data that outgrows a machine: XGBoost on Dask.

Each Dask worker reads its own row groups of train.parquet, and only histograms travel between them. Without
`scheduler` a cluster of `workers` processes is started on this machine; with `scheduler: "tcp://host:8786"` a
running cluster is used, whose machines must see the job directory under the same path (put `[trainer] scratch`
on shared storage).

Parameters: `workers` (default 2), `scheduler`, `rounds`, and every parameter that XGBoost takes under its own name.
"""

import os
import pathlib

import dask
import dask.dataframe as dd
import numpy as np
import pyarrow.parquet as pq
from distributed import Client, LocalCluster
from job_directory import MODEL, leave_result, leave_scores, read_job, tell
from xgboost import dask as xgboost_dask


def cluster(job, workers):
    """Processes on this machine, which share the job's memory and threads among them."""
    dask.config.set({"distributed.worker.use-file-locking": False, "distributed.admin.system-monitor.disk": False})
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=max(job["threads"] // workers, 1),
        memory_limit=job["limits"]["memory_mib"] * 2**20 // (workers + 1),
        host="127.0.0.1",
        dashboard_address=None,
        local_directory=os.environ["TMPDIR"],
    )


def rows(name, features, workers):
    """Lazily: a partition for each row group, and not fewer than workers."""
    path = str(pathlib.Path(name).resolve())
    names = pq.read_schema(name).names
    first = ["label"] if "label" in names else ["row_id"]
    first += ["weight"] if "weight" in names else []
    frame = dd.read_parquet(path, columns=[*first, *features], split_row_groups=True)
    return frame.repartition(npartitions=workers) if frame.npartitions < workers else frame


def main():
    job, features = read_job()
    chosen = dict(job["parameters"])
    workers, rounds, scheduler = chosen.pop("workers", 2), chosen.pop("rounds", 200), chosen.pop("scheduler", None)
    tell("start", 0.0, "waiting for the cluster")
    with Client(scheduler or cluster(job, workers)) as client:
        client.wait_for_workers(workers)
        tell("fit", 0.1, f"{workers} workers, {job['rows']['train']} rows")
        train = rows("train.parquet", features, workers)
        settings = {"objective": "binary:logistic", "tree_method": "hist", "seed": job["seed"] % 2**31, **chosen}
        weights = train["weight"] if "weight" in train.columns else None
        data = xgboost_dask.DaskDMatrix(client, train[features], train["label"].astype("float32"), weight=weights)
        booster = xgboost_dask.train(client, settings, data, num_boost_round=rounds)["booster"]

        tell("score", 0.8, "scoring")
        score = rows("score.parquet", features, workers)
        scores = xgboost_dask.predict(client, booster, score[features])
        row_ids, scores = client.compute([score["row_id"], scores], sync=True)
        leave_scores(row_ids, np.asarray(scores))
        MODEL.mkdir()
        booster.save_model(MODEL / "model.json")
        leave_result("xgboost_json", MODEL / "model.json")
        tell("score", 1.0, "done")


if __name__ == "__main__":
    main()
