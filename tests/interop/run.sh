#!/usr/bin/env bash
# What we make, read by the other side's own software: AsyncAPI's parser on the description of the topics; scikit-learn
# on random windows; three versions of XGBoost, MLflow and treelite on random models; XGBoost, MLflow, scikit-learn,
# model-signing, in-toto and CycloneDX on a bundle of the demo; a Python Kafka client on a worker with a real Kafka and
# a real Postgres; the SDKs for CloudEvents on both ends of one; OpenTelemetry's SDK and Collector on traces;
# OpenLineage's client on lineage events; securesystemslib on signed requests; the example registry and trainers; the
# Handbook's example; a browser on the console.
set -euo pipefail

cd "$(dirname "$0")/../.."
state=target/interop
binary=target/debug/model-factory
wanted=tests/interop/requirements.txt
mkdir -p "$state"

if ! cmp --silent "$wanted" "$state/installed.txt"; then
    echo "interop: installing the other side's software, once"
    rm -rf "$state/venv"
    python3 -m venv "$state/venv"
    "$state/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$state/installed.txt"
fi
python=$state/venv/bin/python

# Runs Python with another version of XGBoost, which lies in a folder of its own. The code of the newest runs on older
# versions of Python than it asks for.
with_xgboost() {
    local folder=$state/xgboost-$1
    if [ ! -d "$folder" ]; then
        echo "interop: installing XGBoost $1, once"
        rm -rf "$folder.part"
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
            --target "$folder.part" "xgboost-cpu==$1"
        mv "$folder.part" "$folder"
    fi
    PYTHONPATH=$folder "$python" "${@:2}"
}

# The packages of this folder of tests/interop, from its package-lock.json.
npm_install() {
    local lock=tests/interop/$1/package-lock.json
    ! cmp --silent "$lock" "$state/$1/installed.json" || return 0
    echo "interop: installing what tests/interop/$1 needs, once"
    rm -rf "${state:?}/$1"
    mkdir "$state/$1"
    cp "tests/interop/$1/package.json" "$lock" "$state/$1"
    # No package needs its script to work, and one of them would report the installation.
    npm ci --prefix "$state/$1" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$lock" "$state/$1/installed.json"
}
asyncapi() {
    NODE_PATH=$state/asyncapi/node_modules node tests/interop/asyncapi/check.js "$@"
}
sdk=()
if { command -v node && command -v npm; } >/dev/null; then
    npm_install asyncapi
    npm_install cloud_events
    sdk=("$state/cloud_events/node_modules")
else
    echo "interop: Node.js and npm are not here; neither schemas/asyncapi.yaml nor the JavaScript SDK was tried"
    [ "${MODEL_FACTORY_REQUIRE_KAFKA:-}" != 1 ]
    asyncapi() { :; }
fi
asyncapi

# Built in whole from its sources: about a minute on two cores.
collector=$state/otlp/collector
if ! command -v go >/dev/null; then
    echo "interop: Go is not here; traces were not read by OpenTelemetry's Collector"
    [ "${MODEL_FACTORY_REQUIRE_KAFKA:-}" != 1 ]
    collector=
elif ! cat tests/interop/otlp/* | cmp --silent - "$state/otlp/built.txt"; then
    echo "interop: building OpenTelemetry's Collector, once"
    mkdir -p "$state/otlp"
    GOFLAGS=-mod=readonly CGO_ENABLED=0 go -C tests/interop/otlp build -o "$PWD/$collector" .
    cat tests/interop/otlp/* >"$state/otlp/built.txt"
fi

# The console is looked at where there is a browser.
console() {
    "$python" tests/interop/console/fill.py "$binary" "$(line broker)" "$database" "$state/dev"
    NODE_PATH=$state/console/node_modules node tests/interop/console/check.js "$(line console)" "$state/console/screenshots"
}
lock=tests/interop/console/package-lock.json
if ! { command -v node && command -v npm && command -v "${CHROMIUM:-chromium}"; } >/dev/null; then
    echo "interop: Node.js, npm or chromium are not here; no browser looked at the console"
    [ "${MODEL_FACTORY_REQUIRE_KAFKA:-}" != 1 ]
    console() { :; }
elif ! cmp --silent "$lock" "$state/console/installed.json"; then
    echo "interop: installing the driver of a browser, once"
    rm -rf "$state/console"
    mkdir "$state/console"
    cp tests/interop/console/package.json "$lock" "$state/console"
    npm ci --prefix "$state/console" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$lock" "$state/console/installed.json"
fi

echo "interop: metrics of random windows"
"$python" tests/interop/random_metrics.py "$binary"

echo "interop: a bundle of the demo"
"$binary" demo --state-dir "$state/demo" >"$state/demo.log" 2>&1 || { cat "$state/demo.log"; exit 1; }
"$python" tests/interop/bundle.py "$state/demo"
"$python" tests/interop/parity.py "$binary" "$state/demo"
"$python" tests/interop/supply_chain.py "$state/demo"
"$python" tests/interop/metrics.py "$state/demo"
"$python" tests/interop/decision.py "$binary" "$state/demo"
"$python" tests/interop/categories.py "$binary" "$state/demo"
"$python" tests/interop/explanation.py "$state/demo"

echo "interop: random models"
rm -rf "${state:?}/random_models"
"$python" tests/interop/random_models.py "$binary" "$state/demo" "$state/random_models"
"$python" tests/interop/peers.py "$state/random_models"
"$python" tests/interop/mlflow_rows.py "$state/demo" "$state/random_models"
# The oldest and the newest that docs/scoring.md names.
for version in 2.1.4 3.4.1; do
    with_xgboost "$version" tests/interop/peers.py "$state/random_models"
done
"$python" tests/interop/treelite_scores.py "$state/random_models"

if ! brokers=$(deploy/dev/kafka.sh start); then
    echo "interop: no Kafka could be started; the worker was not tried with a foreign client"
    exit "${MODEL_FACTORY_REQUIRE_KAFKA:-0}"
fi
dev_pid=
stop() {
    [ -z "$dev_pid" ] || kill "$dev_pid" 2>/dev/null || true
    deploy/dev/kafka.sh stop
}
trap stop EXIT
# Anew: one that an older schema left is refused.
rm -rf "${state:?}/dev"
# For its Postgres and its inputs; the worker that is tried gets a database of its own.
"$binary" dev --state-dir "$state/dev" >"$state/dev.log" 2>&1 &
dev_pid=$!
# What `dev` printed beside this name.
line() { awk -v name="$1" '$1 == name { print $2 }' "$state/dev.log"; }
for _ in $(seq 1 240); do
    # The last line that it prints.
    [ -z "$(line console)" ] || break
    kill -0 "$dev_pid" 2>/dev/null || break
    sleep 0.25
done
[ -n "$(line console)" ] || { cat "$state/dev.log"; exit 1; }
database=$(line database)
console
"$python" tests/interop/worker.py "$binary" "$brokers" "$database" "$state/dev"
asyncapi "$state/dev/records.json"
"$python" tests/interop/cloud_events.py "$binary" "$brokers" "$database" "$state/dev" "${sdk[@]}"
[ -z "$collector" ] || "$python" tests/interop/traces.py "$binary" "$brokers" "$database" "$state/dev" "$collector"
"$python" tests/interop/authority.py "$binary" "$brokers" "$database" "$state/dev"
"$python" tests/interop/lineage.py "$binary" "$brokers" "$database" "$state/dev"
"$python" tests/interop/registry.py "$binary" "$brokers" "$database" "$state/dev"
"$python" tests/interop/trainers.py "$binary" "$brokers" "$database" "$state/dev"
rm -rf "${state:?}/handbook"
"$python" tests/interop/handbook.py "$binary" "$brokers" "$database" "$state/handbook"
"$python" tests/interop/audit_log.py "$state/dev/audit.jsonl"
