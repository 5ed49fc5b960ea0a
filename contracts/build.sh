#!/bin/sh
# Compiles the contract, and the paper's one that tests deploy, and writes the committed artifacts: ABI and bytecode, to create it and as it then
# lies on the chain, nothing else.
# `build.sh --check` fails if a committed artifact is not what the source compiles to.
set -eu
cd "$(dirname "$0")"

./forge.sh build --silent solidity test/Itrex.sol
for name in InstanceRegistry test/Itrex; do
    target=$name.json
    [ "${1:-}" = --check ] && target=out/$(basename "$name").artifact.json
    node -e '
        const { abi, bytecode, deployedBytecode } = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(JSON.stringify({ abi, bytecode: bytecode.object, deployedBytecode: deployedBytecode.object }, null, 1));
    ' <"out/$(basename "$name").sol/$(basename "$name").json" >"$target"
    cmp "$target" "$name.json" || {
        echo "$name.json is not what the source compiles to: run contracts/build.sh and commit it." >&2
        exit 1
    }
done
