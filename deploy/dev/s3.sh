#!/usr/bin/env bash
# A server that speaks S3, for tests: moto_server in a Python environment of its own.
#
#   s3.sh start   prints the endpoint; exit status 3 where none can be provided
#   s3.sh stop    ends exactly the one that `start` started
#
# MODEL_FACTORY_TEST_S3 (an endpoint) is taken instead where it is set.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
state="$root/target/dev/s3"
wanted="$root/deploy/dev/s3-requirements.txt"

say() { echo "s3: $*" >&2; }

install() {
    cmp --silent "$wanted" "$state/installed.txt" 2>/dev/null && return 0
    say "installing moto"
    rm -rf "$state/venv"
    python3 -m venv "$state/venv" >&2
    "$state/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2
    cp "$wanted" "$state/installed.txt"
}

start() {
    if [ -n "${MODEL_FACTORY_TEST_S3:-}" ]; then
        echo "$MODEL_FACTORY_TEST_S3"
        return 0
    fi
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        say "Python with venv is not here; the S3 tests will be skipped"
        return 3
    fi
    mkdir -p "$state"
    install
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    setsid "$state/venv/bin/moto_server" --host 127.0.0.1 --port "$port" >"$state/log" 2>&1 </dev/null &
    echo $! >"$state/pid"
    for _ in $(seq 1 120); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "http://127.0.0.1:$port"
            return 0
        fi
        kill -0 "$(cat "$state/pid")" 2>/dev/null || break
        sleep 0.25
    done
    tail -20 "$state/log" >&2
    return 1
}

stop() {
    [ -e "$state/pid" ] || return 0
    local pid
    pid=$(cat "$state/pid")
    rm -f "$state/pid"
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q moto_server; then
        kill "$pid" 2>/dev/null || true
    fi
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*)
    echo "usage: s3.sh start|stop" >&2
    exit 2
    ;;
esac
