// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Outcome} from "../solidity/IInstanceRegistry.sol";

/// The heads again, written from their definitions and sharing no code with the contract. Block number and time are
/// arguments, since the optimizer takes them for constants within a test.
library Reference {
    /// RFC 9162, section 2.1.1: split at the largest power of two below n.
    function root(bytes32[] memory states, uint256 from, uint256 to) internal pure returns (bytes32) {
        uint256 n = to - from;
        if (n == 1) return keccak256(bytes.concat(hex"00", states[from]));
        uint256 k = 1;
        while (k * 2 < n) k *= 2;
        return keccak256(bytes.concat(hex"01", root(states, from, from + k), root(states, from + k, to)));
    }

    function genesis(address registry, address issuer, bytes32 instance, bytes32 model, uint256 ordinal)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            bytes.concat(bytes32(block.chainid), word(registry), word(issuer), instance, model, bytes32(ordinal))
        );
    }

    function afterBatch(
        bytes32 head,
        uint256 first,
        bytes32[] memory states,
        bytes memory predecessors,
        uint256 blockNumber,
        uint256 timestamp
    ) internal pure returns (bytes32) {
        return afterRoot(
            head, first, states.length, root(states, 0, states.length), keccak256(predecessors), blockNumber, timestamp
        );
    }

    function afterRoot(
        bytes32 head,
        uint256 first,
        uint256 count,
        bytes32 root_,
        bytes32 links,
        uint256 blockNumber,
        uint256 timestamp
    ) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(head, bytes32(first), bytes32(count), root_, links, bytes32(blockNumber), bytes32(timestamp))
        );
    }

    function afterTermination(bytes32 head, uint256 count, Outcome outcome, uint256 blockNumber, uint256 timestamp)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            bytes.concat(head, bytes32(count), bytes32(uint256(outcome)), bytes32(blockNumber), bytes32(timestamp))
        );
    }

    function afterInstance(
        bytes32 head,
        bytes32 instance,
        bytes32 model,
        uint256 ordinal,
        uint256 blockNumber,
        uint256 timestamp
    ) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(head, instance, model, bytes32(ordinal), bytes32(blockNumber), bytes32(timestamp))
        );
    }

    function word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
