"""Gradient-boosted trees with XGBoost's own library, saved as its JSON.

Parameters: `rounds`, `early_stopping_rounds` (0 for none; needs a validation window), and every parameter
that XGBoost takes under its own name.
"""

import pyarrow.parquet as pq
import xgboost
from job_directory import MODEL, leave_result, leave_scores, read_job, tell


class Tell(xgboost.callback.TrainingCallback):
    """Progress, twenty times at the most."""

    def __init__(self, rounds):
        self.rounds, self.every = rounds, max(rounds // 20, 1)

    def after_iteration(self, model, epoch, evals_log):
        if (epoch + 1) % self.every == 0:
            tell("fit", 0.1 + 0.7 * (epoch + 1) / self.rounds, f"{epoch + 1} of {self.rounds} trees")
        return False


def matrix(name, features):
    table = pq.read_table(name).to_pandas()
    labels = table["label"].astype("float32") if "label" in table else None
    # No weights where each row is one payment, and none of rows to score.
    return table["row_id"], xgboost.DMatrix(
        table[features], label=labels, weight=table.get("weight"), feature_names=features
    )


def main():
    job, features = read_job()
    chosen = dict(job["parameters"])
    rounds, patience = chosen.pop("rounds", 200), chosen.pop("early_stopping_rounds", 0)
    settings = {
        "objective": "binary:logistic", "tree_method": "hist", "seed": job["seed"] % 2**31, "nthread": job["threads"],
        **chosen,
    }
    tell("read", 0.0, "reading the rows")
    _, train = matrix("train.parquet", features)
    watched = []
    if patience and job["files"]["validation"]:
        watched = [(matrix("validation.parquet", features)[1], "validation")]
    booster = xgboost.train(
        settings, train, rounds, evals=watched, early_stopping_rounds=patience if watched else None,
        callbacks=[Tell(rounds)], verbose_eval=False,
    )
    if watched:
        # A reader of the file takes every tree in it, so it must hold only the ones that are used.
        booster = booster[: booster.best_iteration + 1]

    tell("score", 0.8, "scoring")
    row_ids, score = matrix("score.parquet", features)
    leave_scores(row_ids, booster.predict(score))
    MODEL.mkdir()
    booster.save_model(MODEL / "model.json")
    leave_result("xgboost_json", MODEL / "model.json")
    tell("score", 1.0, "done")


if __name__ == "__main__":
    main()
