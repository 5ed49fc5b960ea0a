// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Participation} from "../solidity/IInstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// Participants ask for transitions: whom the issuer named, and who accepted.
contract ParticipantsTest is RegistryTest {
    address private constant CLIENT = address(0xc11e);

    function admit(bytes32 instance, bool allowed) private {
        vm.prank(ISSUER);
        registry.setParticipant(instance, CLIENT, allowed);
    }

    function accept(bytes32 instance) private {
        vm.prank(CLIENT);
        registry.setParticipation(ISSUER, instance, true);
    }

    function request(address caller, uint64 sequence, bytes memory payload) private {
        vm.prank(caller);
        registry.requestTransition(ISSUER, INSTANCE, sequence, payload);
    }

    function test_requestTransition_byParticipant_isTold() public {
        register(ISSUER, 0, 3);
        admit(INSTANCE, true);
        accept(INSTANCE);
        vm.assertTrue(registry.isParticipant(ISSUER, INSTANCE, CLIENT));
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.TransitionRequested(ISSUER, INSTANCE, CLIENT, 2, "approve");
        request(CLIENT, 2, "approve");
    }

    function test_requestTransition_byParticipantOfAll_isTaken() public {
        register(ISSUER, 0, 1);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.ParticipantSet(ISSUER, ALL, CLIENT, true);
        admit(ALL, true);
        accept(ALL);
        request(CLIENT, 0, "");
    }

    function test_requestTransition_beforeAcceptance_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        vm.assertFalse(registry.isParticipant(ISSUER, INSTANCE, CLIENT));
        expectError(IInstanceRegistry.NotParticipant.selector, word(CLIENT));
        request(CLIENT, 0, "");
    }

    function test_setParticipation_byTheNamed_isTold() public {
        admit(INSTANCE, true);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.ParticipationSet(ISSUER, INSTANCE, CLIENT, true);
        accept(INSTANCE);
        vm.assertTrue(registry.participationOf(ISSUER, INSTANCE, CLIENT) == Participation.Accepted);
    }

    function test_setParticipation_notNamedForThis_reverts() public {
        admit(INSTANCE, true);
        expectError(IInstanceRegistry.NotParticipant.selector, word(CLIENT));
        accept(ALL);
        vm.prank(STRANGER);
        expectError(IInstanceRegistry.NotParticipant.selector, word(STRANGER));
        registry.setParticipation(ISSUER, INSTANCE, true);
    }

    function test_setParticipation_left_endsTheRight() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        accept(INSTANCE);
        vm.prank(CLIENT);
        registry.setParticipation(ISSUER, INSTANCE, false);
        expectError(IInstanceRegistry.NotParticipant.selector, word(CLIENT));
        request(CLIENT, 0, "");
        vm.assertTrue(registry.participationOf(ISSUER, INSTANCE, CLIENT) == Participation.Named);
    }

    function test_setParticipant_again_keepsTheAcceptance() public {
        admit(INSTANCE, true);
        accept(INSTANCE);
        admit(INSTANCE, true);
        vm.assertTrue(registry.isParticipant(ISSUER, INSTANCE, CLIENT));
    }

    function test_setParticipant_withdrawnAndNamedAnew_hasToBeAcceptedAnew() public {
        admit(INSTANCE, true);
        accept(INSTANCE);
        admit(INSTANCE, false);
        admit(INSTANCE, true);
        vm.assertFalse(registry.isParticipant(ISSUER, INSTANCE, CLIENT));
    }

    function test_setParticipant_zero_reverts() public {
        vm.expectRevert(IInstanceRegistry.ZeroId.selector);
        registry.setParticipant(ALL, address(0), true);
    }

    function test_requestTransition_byStrangerDelegateOrIssuer_reverts() public {
        register(ISSUER, 0, 1);
        vm.prank(ISSUER);
        registry.setDelegate(ALL, address(0xde1e), true);
        address[3] memory others = [STRANGER, address(0xde1e), ISSUER];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(IInstanceRegistry.NotParticipant.selector, word(others[i]));
            request(others[i], 0, "");
        }
    }

    function test_requestTransition_afterRightIsTakenBack_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        accept(INSTANCE);
        admit(INSTANCE, false);
        expectError(IInstanceRegistry.NotParticipant.selector, word(CLIENT));
        request(CLIENT, 0, "");
    }

    function test_requestTransition_ofStateNotEntered_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        accept(INSTANCE);
        expectError(IInstanceRegistry.NoSuchState.selector, bytes32(uint256(1)));
        request(CLIENT, 1, "");
    }

    function test_requestTransition_afterTermination_reverts() public {
        register(ISSUER, 0, 1);
        terminate(ISSUER, 1);
        admit(INSTANCE, true);
        accept(INSTANCE);
        expectError(IInstanceRegistry.AlreadyTerminated.selector, INSTANCE);
        request(CLIENT, 0, "");
    }

    function test_requestTransition_ofUnknownInstance_reverts() public {
        admit(ALL, true);
        accept(ALL);
        vm.prank(CLIENT);
        expectError(IInstanceRegistry.UnknownInstance.selector, id("none"));
        registry.requestTransition(ISSUER, id("none"), 0, "");
    }

    function test_requestTransition_beyond64KiB_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        accept(INSTANCE);
        request(CLIENT, 0, new bytes(65_536));
        expectError(IInstanceRegistry.TooLong.selector, bytes32(uint256(65_536)));
        request(CLIENT, 0, new bytes(65_537));
    }
}
