#!/usr/bin/env bash
# All tests, against a real Kafka, a real Postgres and a server that speaks S3; the last line counts them.
#
# MODEL_FACTORY_REQUIRE_KAFKA=1 fails where only the in-process broker is at hand.
set -euo pipefail

cd "$(dirname "$0")/../.."
here=deploy/dev
log=target/dev/test.log
mkdir -p target/dev

# Databases and run folders of the tests; Postgres may run as another user, who has to get in.
TMPDIR=$(mktemp -d -t model-factory-tests-XXXXXX)
export TMPDIR
chmod 755 "$TMPDIR"

# shellcheck disable=SC2329 # The trap calls it.
stop() {
    "$here/kafka.sh" stop
    "$here/s3.sh" stop
    rm -rf "$TMPDIR"
}
trap stop EXIT

cargo test --locked --no-run

if brokers=$("$here/kafka.sh" start); then
    export MODEL_FACTORY_TEST_BROKERS="$brokers"
    echo "tests use Apache Kafka at $brokers"
elif [ "${MODEL_FACTORY_REQUIRE_KAFKA:-}" = 1 ]; then
    echo "a real Kafka is required and none could be started" >&2
    exit 1
else
    echo "tests use the in-process broker, not Apache Kafka"
fi
if endpoint=$("$here/s3.sh" start); then
    export MODEL_FACTORY_TEST_S3="$endpoint"
    echo "tests use S3 at $endpoint"
else
    echo "tests of S3 are skipped: no server could be started"
fi

status=0
cargo test --locked --no-fail-fast 2>&1 | tee "$log" || status=$?
awk '/^test result:/ { for (i = 1; i < NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^failed/) f += $i; if ($(i + 1) ~ /^ignored/) s += $i } }
     END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit "$status"
