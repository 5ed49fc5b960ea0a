// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Certificates} from "./Certificates.sol";
import {HistoryHead} from "./HistoryHead.sol";
import {Outcome} from "./IInstanceRegistry.sol";
import {Instances} from "./Instances.sol";
import {Rights} from "./Rights.sol";

/// @title The registry: who may write, what is written once, and in which order
/// @notice See IInstanceRegistry for each function. No owner, no upgrade, no ether.
contract InstanceRegistry is Instances, Rights, Certificates {
    /// States that an instance may have by roots: predecessors are numbered in 32 bits, and the last number means none.
    uint64 private constant MAX_STATES = type(uint32).max;

    struct IssuerChain {
        bytes32 head;
        uint64 count;
    }

    mapping(address issuer => mapping(bytes32 model => uint64 blockNumber)) public modelRegisteredAtBlock;
    mapping(address issuer => IssuerChain) private issuers;

    function registerModel(bytes32 model) external {
        if (model == 0) revert ZeroId();
        address issuer = caller();
        if (modelRegisteredAtBlock[issuer][model] != 0) revert AlreadyRegistered(model);
        modelRegisteredAtBlock[issuer][model] = uint64(block.number);
        emit ModelRegistered(issuer, model);
    }

    function registerInstance(bytes32 model, bytes32 instance) external {
        if (instance == 0) revert ZeroId();
        address issuer = caller();
        if (modelRegisteredAtBlock[issuer][model] == 0) revert UnknownModel(model);
        Instance storage it = instances[issuer][instance];
        if (it.registeredAtBlock != 0) revert AlreadyRegistered(instance);

        IssuerChain storage chain = issuers[issuer];
        uint64 ordinal = chain.count;
        bytes32 issuerHead = HistoryHead.afterInstance(chain.head, instance, model, ordinal);
        chain.head = issuerHead;
        chain.count = ordinal + 1;

        bytes32 head = HistoryHead.genesis(issuer, instance, model, ordinal);
        instances[issuer][instance] = Instance(head, model, 0, ordinal, uint64(block.number), Outcome.None);
        emit InstanceRegistered(issuer, instance, model, ordinal, head, issuerHead);
    }

    function registerStates(
        address issuer,
        bytes32 instance,
        uint64 first,
        bytes32[] calldata states,
        bytes calldata predecessors
    ) external {
        Instance storage it = openInstance(issuer, instance, first);
        if (states.length == 0) revert NoStates();
        HistoryHead.checkPredecessors(predecessors, first, states.length);

        bytes32 head = HistoryHead.afterBatch(it.head, first, states, predecessors);
        it.head = head;
        unchecked {
            // Nobody pays for 2^63 states, and roots stop at MAX_STATES. Listed states may go past that: such a state
            // can only not be named as a predecessor, in a run that its own issuer brought there.
            it.count = first + uint64(states.length);
        }
        emit StatesRegistered(issuer, instance, first, head, states, predecessors);
    }

    function registerStatesRoot(
        address issuer,
        bytes32 instance,
        uint64 first,
        uint64 count,
        bytes32 root,
        bytes32 predecessorsHash
    ) external {
        Instance storage it = openInstance(issuer, instance, first);
        if (count == 0) revert NoStates();
        // States under a root cost nothing each: without a limit they could use the numbers up.
        if (count > MAX_STATES || first + count > MAX_STATES) revert TooManyStates(MAX_STATES);

        bytes32 head = HistoryHead.afterRoot(it.head, first, count, root, predecessorsHash);
        it.head = head;
        it.count = first + count;
        emit StatesRootRegistered(issuer, instance, first, count, head, root, predecessorsHash);
    }

    function terminateInstance(address issuer, bytes32 instance, uint64 count, Outcome outcome) external {
        Instance storage it = openInstance(issuer, instance, count);
        if (outcome == Outcome.None) revert BadOutcome();

        bytes32 head = HistoryHead.afterTermination(it.head, count, outcome);
        it.head = head;
        it.outcome = outcome;
        emit InstanceTerminated(issuer, instance, count, outcome, head);
    }

    function issuerChain(address issuer) external view returns (uint64 count, bytes32 head) {
        IssuerChain storage chain = issuers[issuer];
        return (chain.count, chain.head);
    }

    /// The instance, if the caller may write to it, it is not sealed, and `count` is its count.
    function openInstance(address issuer, bytes32 instance, uint64 count) private view returns (Instance storage it) {
        address by = caller();
        if (by != issuer && !isDelegate(issuer, instance, by)) revert NotAuthorised(by);
        it = instances[issuer][instance];
        uint64 expected = openCount(it, instance);
        if (expected != count) revert SequenceMismatch(expected, count);
    }
}
