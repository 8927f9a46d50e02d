#!/usr/bin/env bash
# Installs what building, demo and tests need and what is missing, where it may: as root, from Debian's
# packages. Says what to install where it may not. Quiet and quick when everything is there.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }

need cc gcc
need c++ g++
need make make
need python3 python3
need setpriv util-linux
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
bindir=$(pg_config --bindir 2>/dev/null || true)
if ! [ -x "$bindir/initdb" ] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    missing+=(postgresql)
fi
# Kafka by its official jars: the broker of the tests where there is no Docker, and always the one with TLS.
need java openjdk-17-jre-headless
need mvn maven
need openssl openssl
# The library that Kafka's client speaks TLS by, and what finds it.
need pkg-config pkg-config
pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
if [ "${MODEL_FACTORY_REQUIRE_MANIFESTS:-}" = 1 ]; then
    need go golang-go
    need javac openjdk-17-jdk-headless
fi

# AsyncAPI's parser, OpenTelemetry's Collector and a browser for the console, for `make test-interop`, which leaves them out
# where it may.
if [ "${MODEL_FACTORY_REQUIRE_KAFKA:-}" = 1 ]; then
    need go golang-go
    need node nodejs
    need npm npm
    need chromium chromium
fi

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "prepare: installing ${missing[*]}" >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "prepare: please install: ${missing[*]}" >&2
        exit 1
    fi
fi
if ! command -v cargo >/dev/null; then
    echo "prepare: please install Rust 1.95 or newer (rustup.rs)" >&2
    exit 1
fi
