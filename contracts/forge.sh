#!/bin/sh
# Runs forge from the tools folder, or else from PATH, in this project: `contracts/forge.sh test`. `--path` only says where it is.
set -eu
cd "$(dirname "$0")"
tools=${RUNPROOF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/runproof/tools}
forge=$(ls "$tools"/foundry/node_modules/@foundry-rs/forge-*/bin/forge 2>/dev/null || command -v forge) || {
    echo "forge is not in $tools/foundry: run \"make setup\", or set RUNPROOF_TOOLS to the tools folder." >&2
    exit 1
}
[ "${1:-}" != --path ] || { echo "$forge"; exit; }
exec "$forge" "$@"
