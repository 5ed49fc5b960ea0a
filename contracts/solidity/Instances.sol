// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "./IInstanceRegistry.sol";

/// @title Where instances lie
/// @notice First among the registry's bases, so that `instances` is at slot 0: verifiers read it by eth_getProof.
abstract contract Instances is IInstanceRegistry {
    /// Three slots: head, model, and the rest packed with count lowest.
    struct Instance {
        bytes32 head;
        bytes32 model;
        uint64 count;
        uint64 ordinal;
        uint64 registeredAtBlock;
        Outcome outcome;
    }

    /// In place of an instance or a certificate: all of the account's.
    bytes32 internal constant ALL = 0;

    mapping(address issuer => mapping(bytes32 instance => Instance)) internal instances;

    function instanceOf(address issuer, bytes32 instance)
        external
        view
        returns (bytes32 model, bytes32 head, uint64 count, uint64 ordinal, Outcome outcome, uint64 registeredAtBlock)
    {
        Instance storage it = instances[issuer][instance];
        return (it.model, it.head, it.count, it.ordinal, it.outcome, it.registeredAtBlock);
    }

    /// The count of an instance that is there and not sealed.
    function openCount(Instance storage it, bytes32 instance) internal view returns (uint64) {
        if (it.registeredAtBlock == 0) revert UnknownInstance(instance);
        if (it.outcome != Outcome.None) revert AlreadyTerminated(instance);
        return it.count;
    }
}
