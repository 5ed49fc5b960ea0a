#!/bin/sh
# Runs Slither, the static analyser, over the contract, and fails on any finding of high impact. Installs it from PyPI unless it is there.
# docs/contract.md gives the reason for each finding that is left.
set -eu
cd "$(dirname "$0")"
version=0.11.6
tools=${RUNPROOF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/runproof/tools}
venv=$tools/slither-$version
[ -x "$venv/bin/slither" ] || {
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "slither-analyzer==$version"
}
# Slither calls forge by its name.
PATH=$(dirname "$(./forge.sh --path)"):$PATH
exec "$venv/bin/slither" . --foundry-out-directory out --filter-paths test --fail-high "$@"
