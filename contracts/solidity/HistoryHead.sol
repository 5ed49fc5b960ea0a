// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "./IInstanceRegistry.sol";

/// @title The hash chains that make a published history complete, ordered and timed
/// @notice Every head is keccak256 over `abi.encode` words. The preimages have 6 (genesis, issuer), 7 (batch) and 5
/// (seal) words; genesis and issuer heads live in different storage and start with a chain id and a digest: none can
/// pass for another.
library HistoryHead {
    /// In place of a predecessor's sequence number: the state follows none.
    uint32 internal constant NO_PREDECESSOR = 0xffffffff;

    /// The head of an instance without states: binds it to its chain, contract, issuer, model and place among the
    /// issuer's.
    function genesis(address issuer, bytes32 instance, bytes32 model, uint64 ordinal) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), issuer, instance, model, ordinal));
    }

    /// The head after a batch of states.
    function afterBatch(bytes32 head, uint64 first, bytes32[] calldata states, bytes calldata predecessors)
        internal
        view
        returns (bytes32)
    {
        // The usual case is known beforehand, and saves what a copy into memory takes.
        bytes32 links = predecessors.length == 0 ? keccak256("") : keccak256(predecessors);
        return afterRoot(head, first, states.length, root(states), links);
    }

    /// The same, by what is known of the batch: `count` states under a Merkle root, and the hash of their predecessors.
    function afterRoot(bytes32 head, uint64 first, uint256 count, bytes32 root_, bytes32 links)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(head, first, count, root_, links, block.number, block.timestamp));
    }

    /// The head after termination.
    function afterTermination(bytes32 head, uint64 count, Outcome outcome) internal view returns (bytes32) {
        return keccak256(abi.encode(head, count, outcome, block.number, block.timestamp));
    }

    /// The head of an issuer's chain of instances after one more.
    function afterInstance(bytes32 issuerHead, bytes32 instance, bytes32 model, uint64 ordinal)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(issuerHead, instance, model, ordinal, block.number, block.timestamp));
    }

    /// Reverts unless each of the batch's states names an earlier state, or none. Empty: each follows the one before
    /// it.
    function checkPredecessors(bytes calldata predecessors, uint64 first, uint256 n) internal pure {
        if (predecessors.length == 0) return;
        if (predecessors.length != 4 * n) revert IInstanceRegistry.BadPredecessorsLength();
        unchecked {
            uint64 sequence = first;
            for (uint256 offset = 0; offset < predecessors.length; offset += 4) {
                uint32 predecessor = uint32(bytes4(predecessors[offset:]));
                if (predecessor >= sequence && predecessor != NO_PREDECESSOR) {
                    revert IInstanceRegistry.BadPredecessor(sequence);
                }
                ++sequence;
            }
        }
    }

    /// The Merkle root of the states (at least one): the tree shape of RFC 9162 with keccak256, leaf = H(0x00 ||
    /// state), node = H(0x01 || left || right), the odd node of a level promoted unchanged.
    /// @dev Works in free memory, which it does not claim: the caller's next allocation reuses it, so that a large
    /// batch pays for memory once. A node is hashed where its children lie: its prefix overwrites the last byte of the
    /// element before them, which is spent by then.
    function root(bytes32[] calldata states) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let prefix := add(mload(0x40), 0x1f)
            let pair := add(prefix, 0x01)
            let level := add(pair, 0x40)
            let to := level

            // Leaves, and the nodes above them, in one go.
            mstore(0x00, 0) // byte 0 is the leaf's prefix and stays 0
            mstore8(prefix, 0x01)
            let from := states.offset
            let last := add(from, shl(5, sub(states.length, 1)))
            for {} lt(from, last) { from := add(from, 0x40) } {
                mstore(0x01, calldataload(from))
                mstore(pair, keccak256(0x00, 0x21))
                mstore(0x01, calldataload(add(from, 0x20)))
                mstore(add(pair, 0x20), keccak256(0x00, 0x21))
                mstore(to, keccak256(prefix, 0x41))
                to := add(to, 0x20)
            }
            if eq(from, last) {
                mstore(0x01, calldataload(from))
                mstore(to, keccak256(0x00, 0x21))
                to := add(to, 0x20)
            }

            // Level by level, until one node is left.
            for {} gt(to, add(level, 0x20)) {} {
                last := sub(to, 0x20)
                to := level
                for { from := level } lt(from, last) { from := add(from, 0x40) } {
                    mstore8(sub(from, 1), 0x01)
                    mstore(to, keccak256(sub(from, 1), 0x41))
                    to := add(to, 0x20)
                }
                if eq(from, last) {
                    mstore(to, mload(from))
                    to := add(to, 0x20)
                }
            }
            result := mload(level)
        }
    }
}
