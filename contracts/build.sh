#!/bin/sh
# Compiles the contract and writes the committed artifact: ABI and bytecode, nothing else.
# `build.sh --check` fails if the committed artifact is not what the source compiles to.
set -eu
cd "$(dirname "$0")"
tools=${RUNPROOF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/runproof/tools}
forge=$(ls "$tools"/foundry/node_modules/@foundry-rs/forge-*/bin/forge 2>/dev/null || command -v forge) || {
    echo "forge is not in $tools/foundry: run \"make setup\", or set RUNPROOF_TOOLS to the tools folder." >&2
    exit 1
}

"$forge" build --silent --skip test
target=InstanceRegistry.json
[ "${1:-}" = --check ] && target=out/InstanceRegistry.json
node -e '
    const { abi, bytecode } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify({ abi, bytecode: bytecode.object }, null, 1));
' <out/InstanceRegistry.sol/InstanceRegistry.json >"$target"
[ "$target" = InstanceRegistry.json ] || cmp "$target" InstanceRegistry.json || {
    echo "InstanceRegistry.json is not what the source compiles to: run contracts/build.sh and commit it." >&2
    exit 1
}
