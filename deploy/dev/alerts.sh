#!/usr/bin/env bash
# Whether alerts and dashboard are right: by promtool, by tests of each alert, by Grafana's own types, by rules of ours,
# and by mistakes that are planted and have to be found.
#
# promtool comes from Debian's package `prometheus`, unpacked into target/tools rather than installed, which would start
# a server. Where it can neither be found nor fetched this says so and checks nothing, and without Go it leaves Grafana's
# types out; MODEL_FACTORY_REQUIRE_MANIFESTS=1 makes that an error.
set -euo pipefail

cd "$(dirname "$0")/../.."
here=deploy/dev/alerts
tools=target/tools
state=target/dev/alerts

say() { echo "alerts: $*" >&2; }

PATH="$PWD/$tools/bin:$PATH"
fetch_promtool() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    say "fetching promtool into $tools, once"
    local folder
    folder=$(mktemp -d)
    if ! (cd "$folder" && apt-get -qq download prometheus) >/dev/null 2>&1; then
        # Nobody has asked for the lists of packages yet.
        if [ "$(id -u)" = 0 ]; then
            apt-get -qq update >&2 || true
        fi
        (cd "$folder" && apt-get -qq download prometheus) >&2 || return 1
    fi
    dpkg-deb -x "$folder"/prometheus_*.deb "$folder"
    install -m 755 -D "$folder/usr/bin/promtool" "$tools/bin/promtool"
    rm -rf "$folder"
}

if ! command -v python3 >/dev/null || ! { command -v promtool >/dev/null || fetch_promtool; }; then
    say "python3 or promtool is not here; nothing was checked"
    [ "${MODEL_FACTORY_REQUIRE_MANIFESTS:-}" != 1 ]
    exit
fi
if ! cmp --silent "$here/requirements.txt" "$state/installed.txt"; then
    rm -rf "$state"
    mkdir -p "$state"
    python3 -m venv "$state/venv"
    "$state/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$state/installed.txt"
fi

# promtool tells what is right as well.
quietly() { "$@" >"$state/said" 2>&1 || { cat "$state/said" >&2; return 1; }; }

quietly promtool check rules deploy/prometheus/rules/*.yaml
# Debian's promtool knows no Kubernetes; whatever lists targets, what is made of them is the same.
sed '/kubernetes_sd_configs:/,/role: pod/c\    static_configs: []' deploy/prometheus/scrape.yaml >"$state/scrape.yaml"
ln -sfn "$PWD/deploy/prometheus/rules" "$state/rules"
quietly promtool check config "$state/scrape.yaml"
quietly promtool test rules deploy/prometheus/tests/*.yaml
PYTHONDONTWRITEBYTECODE=1 "$state/venv/bin/python" "$here/check.py" "$state/queries.yaml"
quietly promtool check rules "$state/queries.yaml"

missed() {
    say "a planted mistake was not found: $1"
    exit 1
}
if sed '0,/sum(/s//sum((/' "$state/queries.yaml" | promtool check rules /dev/stdin >/dev/null 2>&1; then
    missed "a query that does not parse"
fi

board=deploy/grafana/model-factory.json
if ! command -v go >/dev/null; then
    say "go is not here; $board was not held against Grafana's types"
    [ "${MODEL_FACTORY_REQUIRE_MANIFESTS:-}" != 1 ]
    exit
fi
(cd "$here/grafana" && go build -o "$OLDPWD/$state/as-grafana-reads" .)
"$state/as-grafana-reads" <"$board"
for mistake in 's/"lineWidth"/"lineWith"/' 's/"legendFormat"/"legendFormt"/' 's/"schemaVersion": [0-9]*/"schemaVersion": "1"/'; do
    if sed "$mistake" "$board" | "$state/as-grafana-reads" 2>/dev/null; then
        missed "a dashboard after $mistake"
    fi
done
