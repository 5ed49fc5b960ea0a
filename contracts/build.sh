#!/bin/sh
# Compiles the contract and writes the committed artifact: ABI and bytecode, nothing else.
# `build.sh --check` fails if the committed artifact is not what the source compiles to.
set -eu
cd "$(dirname "$0")"
target=InstanceRegistry.json
[ "${1:-}" = --check ] && target=out/InstanceRegistry.json

./forge.sh build --silent --skip test
node -e '
    const { abi, bytecode } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify({ abi, bytecode: bytecode.object }, null, 1));
' <out/InstanceRegistry.sol/InstanceRegistry.json >"$target"

cmp "$target" InstanceRegistry.json || {
    echo "InstanceRegistry.json is not what the source compiles to: run contracts/build.sh and commit it." >&2
    exit 1
}
