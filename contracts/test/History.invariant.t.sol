// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Outcome} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {HistoryHandler} from "./HistoryHandler.sol";
import {InvariantTest} from "./InvariantTest.sol";

/// Whatever is called in whatever order: what is stored is what an independent account of the history gives.
contract HistoryInvariantTest is InvariantTest {
    InstanceRegistry private registry;
    HistoryHandler private handler;

    function setUp() public {
        registry = new InstanceRegistry();
        handler = new HistoryHandler(registry);
        target(address(handler));
    }

    function invariant_storedHistory_isTheRecomputedOne() external view {
        for (uint256 who = 0; who < 2; ++who) {
            address issuer = handler.issuerAt(who);
            for (uint256 which = 0; which < 3; ++which) {
                check(issuer, handler.instanceAt(which));
            }
            (uint64 count, bytes32 head) = registry.issuerChain(issuer);
            vm.assertEq(count, handler.instancesOf(issuer));
            vm.assertEq(head, handler.issuerHeadOf(issuer));
        }
    }

    /// Head, count, what was written once, and the seal.
    function check(address issuer, bytes32 instance) private view {
        HistoryHandler.Ghost memory it = handler.ghost(issuer, instance);
        (bytes32 model, bytes32 head, uint64 count, uint64 ordinal, Outcome outcome, uint64 registeredAtBlock) =
            registry.instanceOf(issuer, instance);
        vm.assertEq(model, it.model);
        vm.assertEq(head, it.head);
        vm.assertEq(count, it.count);
        vm.assertEq(ordinal, it.ordinal);
        vm.assertEq(uint256(outcome), uint256(it.outcome));
        vm.assertEq(registeredAtBlock, it.registeredAtBlock);
    }
}
