// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {InvariantTest} from "./InvariantTest.sol";
import {RelayHandler} from "./RelayHandler.sol";

/// Each signed call is made at most once, in the order of nonces, and as nobody but who signed it.
contract RelayInvariantTest is InvariantTest {
    InstanceRegistry private registry;
    RelayHandler private handler;

    function setUp() public {
        registry = new InstanceRegistry();
        handler = new RelayHandler(registry);
        target(address(handler));
    }

    function invariant_relayedCalls_areTheSignersAndCounted() external view {
        for (uint256 which = 0; which < handler.MODELS(); ++which) {
            bytes32 model = handler.modelAt(which);
            for (uint256 who = 0; who < handler.ACCOUNTS(); ++who) {
                address account = handler.accountAt(who);
                vm.assertEq(registry.modelRegisteredAtBlock(account, model), handler.registeredAtBlock(account, model));
                vm.assertEq(registry.nonceOf(account), handler.relayedCallsOf(account));
            }
            vm.assertEq(registry.modelRegisteredAtBlock(handler.RELAYER(), model), 0);
            vm.assertEq(registry.modelRegisteredAtBlock(address(registry), model), 0);
        }
    }
}
