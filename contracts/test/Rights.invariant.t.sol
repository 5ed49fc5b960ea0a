// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {InvariantTest} from "./InvariantTest.sol";
import {RightsHandler} from "./RightsHandler.sol";

/// Who was given a right by whom, and nobody else, has it; a delegate never becomes an issuer.
contract RightsInvariantTest is InvariantTest {
    InstanceRegistry private registry;
    RightsHandler private handler;

    function setUp() public {
        registry = new InstanceRegistry();
        handler = new RightsHandler(registry);
        target(address(handler));
    }

    function invariant_rights_areThoseGiven() external view {
        for (uint256 by = 0; by < handler.ACCOUNTS(); ++by) {
            address issuer = handler.accountAt(by);
            for (uint256 which = 0; which <= handler.INSTANCES(); ++which) {
                for (uint256 who = 0; who < handler.ACCOUNTS(); ++who) {
                    check(issuer, handler.scopeAt(which), handler.accountAt(who));
                }
            }
        }
    }

    function invariant_registrations_areTheIssuersOwn() external view {
        for (uint256 by = 0; by < handler.ACCOUNTS(); ++by) {
            address issuer = handler.accountAt(by);
            (uint64 started,) = registry.issuerChain(issuer);
            vm.assertEq(started, handler.INSTANCES());
            for (uint256 which = 1; which <= handler.INSTANCES(); ++which) {
                (,, uint64 count,,,) = registry.instanceOf(issuer, handler.scopeAt(which));
                vm.assertEq(count, handler.countOf(issuer, handler.scopeAt(which)));
            }
            vm.assertEq(registry.nonceOf(issuer), handler.relayedCallsOf(issuer));
        }
    }

    function check(address issuer, bytes32 scope, address who) private view {
        vm.assertEq(registry.delegateSinceBlock(issuer, scope, who), handler.delegateSinceBlock(issuer, scope, who));
        vm.assertEq(
            uint256(registry.participationOf(issuer, scope, who)), uint256(handler.participationOf(issuer, scope, who))
        );
        vm.assertTrue(
            (who == issuer || registry.isDelegate(issuer, scope, who)) == handler.mayRegister(issuer, scope, who)
        );
        vm.assertTrue(registry.isParticipant(issuer, scope, who) == handler.mayRequest(issuer, scope, who));
    }
}
