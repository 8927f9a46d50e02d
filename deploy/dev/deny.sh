#!/usr/bin/env bash
# Licences, sources and bans of what we build on; installs cargo-deny into target/tools where it is missing.
# Advisories need their database from the network: `cargo deny check advisories`.
set -euo pipefail

cd "$(dirname "$0")/../.."
tools=target/tools
version=0.20.2

PATH="$PWD/$tools/bin:$PATH"
if ! command -v cargo-deny >/dev/null; then
    echo "deny: installing cargo-deny $version into $tools, once" >&2
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-deny
fi
exec cargo deny --log-level error check bans licenses sources
