"""Logistic regression with scikit-learn, saved by skops: no pickle, so loading the model runs no code.

Parameters: `strength` (inverse of regularisation, default 1.0), `balanced` (weigh frauds up, default true).
Only types that skops trusts by itself are used: trees of scikit-learn and its imputers are not among them, so
rows must be complete.
"""

import io
import re
import zipfile

import pyarrow.parquet as pq
import skops.io
from job_directory import MODEL, leave_result, leave_scores, parameters, read_job, tell
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def reproducible(archive):
    """The same archive without times of writing and memory addresses: the same model is the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        schema = source.read("schema.json").decode()
        # skops numbers objects, and names the files of arrays, by their address.
        addresses = dict.fromkeys(re.findall(r'"(?:__id__": |file": ")(\d+)', schema))
        numbers = {address: str(number) for number, address in enumerate(addresses, 1)}
        schema = re.sub(r'("__id__": |"file": ")(\d+)', lambda found: found[1] + numbers[found[2]], schema)
        members = {"schema.json": schema.encode()}
        for name in source.namelist():
            address, ending = name.split(".", 1)
            if address in numbers:
                members[f"{numbers[address]}.{ending}"] = source.read(name)
        for name in sorted(members):
            target.writestr(zipfile.ZipInfo(name), members[name])
    return out.getvalue()


def complete(table, features):
    missing = [name for name in features if table[name].null_count]
    if missing:
        raise SystemExit(f"this model needs complete rows; there are missing values of {', '.join(missing)}")
    return table.to_pandas()


def main():
    job, features = read_job()
    chosen = parameters(job, {"strength": 1.0, "balanced": True})
    tell("read", 0.0, "reading the rows")
    train = complete(pq.read_table("train.parquet"), features)
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(
            C=chosen["strength"],
            class_weight="balanced" if chosen["balanced"] else None,
            max_iter=1000,
            random_state=job["seed"] % 2**32,
        ),
    )
    tell("fit", 0.2, f"{len(train)} rows, {len(features)} features")
    # None where each row is one payment.
    weights = {"logisticregression__sample_weight": train.get("weight")}
    model.fit(train[features].to_numpy("float64"), train["label"].to_numpy(bool), **weights)

    tell("score", 0.8, "scoring")
    score = complete(pq.read_table("score.parquet"), features)
    leave_scores(score["row_id"], model.predict_proba(score[features].to_numpy("float64"))[:, 1])
    MODEL.mkdir()
    saved = reproducible(skops.io.dumps(model))
    if untrusted := skops.io.get_untrusted_types(data=saved):
        raise SystemExit(f"skops would not load this model without being told to trust {untrusted}")
    (MODEL / "model.skops").write_bytes(saved)
    leave_result("skops", MODEL / "model.skops")
    tell("score", 1.0, "done")


if __name__ == "__main__":
    main()
