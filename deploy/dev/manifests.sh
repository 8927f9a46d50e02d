#!/usr/bin/env bash
# Whether what we deploy with is right, without a cluster: manifests, docker-compose.yml, Dockerfile, unit, scripts.
#
# Renders with kustomize, judges strictly by the schemas of Kubernetes, KEDA, Strimzi and Compose and by rules of our
# own, and plants mistakes that have to be found. What it needs is installed into target/dev/manifests, once, and comes
# from the registries of Python, Go and Maven. Where one of these tools is missing it says so and leaves the rest
# alone; MODEL_FACTORY_REQUIRE_MANIFESTS=1 makes that an error.
set -euo pipefail

cd "$(dirname "$0")/../.."
here=deploy/dev/manifests
tools=target/dev/manifests
kustomize=v5.7.1
keda=v2.20.2
compose=v2.9.0

say() { echo "manifests: $*" >&2; }

for tool in python3 go java javac mvn; do
    if ! command -v "$tool" >/dev/null; then
        say "$tool is not here; nothing was checked"
        [ "${MODEL_FACTORY_REQUIRE_MANIFESTS:-}" != 1 ]
        exit
    fi
done

# A file of a Go module, by its path in there.
from_module() {
    local folder
    folder=$(cd "$tools/go" && go mod download -json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
    install -m 644 "$folder/$2" "$tools/schemas/"
}

install_tools() {
    say "installing tools and schemas into $tools, once"
    rm -rf "$tools"
    mkdir -p "$tools/schemas" "$tools/go"
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    GOBIN="$PWD/$tools/bin" go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize"
    from_module "github.com/kedacore/keda/v2@$keda" config/crd/bases/keda.sh_scaledobjects.yaml
    from_module "github.com/kedacore/keda/v2@$keda" config/crd/bases/keda.sh_triggerauthentications.yaml
    from_module "github.com/compose-spec/compose-go/v2@$compose" schema/compose-spec.json
    mvn --batch-mode --quiet --file "$here/pom.xml" \
        dependency:copy-dependencies "-DoutputDirectory=$PWD/$tools/strimzi" >&2
    java -cp "$tools/strimzi/*" "$here/StrimziSchemas.java" "$tools/schemas"
}

wanted=$(echo "$kustomize $keda $compose" | cat - "$here"/{requirements.txt,pom.xml,StrimziSchemas.java} | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ]; then
    install_tools
    echo "$wanted" >"$tools/installed"
fi
PATH="$PWD/$tools/venv/bin:$PWD/$tools/bin:$PATH"

rm -rf "$tools/rendered"
mkdir "$tools/rendered"
for folder in kafka overlays/single-node overlays/production; do
    kustomize build "deploy/kubernetes/$folder" >"$tools/rendered/$(basename "$folder").yaml"
done
PYTHONDONTWRITEBYTECODE=1 python "$here/check.py" "$tools/schemas" "$tools/rendered"

# A lint that finds nothing in what is wrong would find nothing in what is ours either.
missed() {
    say "a planted mistake was not found: $1"
    exit 1
}
finds() {
    local what="$1"
    shift
    if "$@" >/dev/null 2>&1; then
        missed "$what"
    fi
}

hadolint --config "$here/hadolint.yaml" deploy/Dockerfile
finds "a base image without tag" hadolint --config "$here/hadolint.yaml" - <<<"FROM debian"
finds "root at the end" hadolint --config "$here/hadolint.yaml" - <<<$'FROM debian:12.12-slim\nUSER root'

mapfile -t scripts < <(git ls-files -- '*.sh' .ci/run)
shellcheck "${scripts[@]}"
# shellcheck disable=SC2016
finds "an unquoted variable" shellcheck - <<<$'#!/bin/sh\nrm -rf $1'

# The program is not here, so that one that is stands in for it.
verify() {
    sed 's|/usr/local/bin/model-factory|/bin/true|' >"$tools/$1"
    systemd-analyze verify --man=no --recursive-errors=no "$tools/$1" 2>&1
}
complains() { [ -n "$(verify "$1")" ]; }

units=(model-factory.service model-factory-prune.service model-factory-prune.timer)
if command -v systemd-analyze >/dev/null; then
    for unit in "${units[@]}"; do
        sed '/^Description=/s/=/ /' "deploy/systemd/$unit" | complains "$unit" || missed "a broken line in $unit"
        if complains "$unit" <"deploy/systemd/$unit"; then
            verify "$unit" <"deploy/systemd/$unit" >&2
            exit 1
        fi
        case $unit in *.service)
            # Of 100; it speaks to the network and sets limits for trainers, and little else.
            systemd-analyze security --offline=true --threshold=20 --no-pager "$tools/$unit" >/dev/null
        esac
    done
    sed 's/^ProtectSystem=/ProtectSistem=/' deploy/systemd/model-factory.service | complains model-factory.service ||
        missed "a misspelt directive"
fi
say "Dockerfile, ${#scripts[@]} scripts and ${#units[@]} units are right"
