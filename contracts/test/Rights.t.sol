// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// Delegates register for an issuer, participants ask for transitions: neither may do more.
contract RightsTest is RegistryTest {
    address private constant DELEGATE = address(0xde1e);
    address private constant CLIENT = address(0xc11e);

    function allow(bytes32 instance, bool allowed) private {
        vm.prank(ISSUER);
        registry.setDelegate(instance, DELEGATE, allowed);
    }

    function admit(bytes32 instance, bool allowed) private {
        vm.prank(ISSUER);
        registry.setParticipant(instance, CLIENT, allowed);
    }

    function request(address caller, uint64 sequence, bytes memory payload) private {
        vm.prank(caller);
        registry.requestTransition(ISSUER, INSTANCE, sequence, payload);
    }

    function test_setDelegate_forOneInstance_letsItRegisterAndTerminate() public {
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.DelegateSet(ISSUER, INSTANCE, DELEGATE, true);
        allow(INSTANCE, true);
        vm.assertTrue(registry.isDelegate(ISSUER, INSTANCE, DELEGATE));
        register(DELEGATE, 0, 2);
        terminate(DELEGATE, 2);
    }

    function test_setDelegate_forOneInstance_isNoRightToAnother() public {
        allow(id("another"), true);
        vm.assertFalse(registry.isDelegate(ISSUER, INSTANCE, DELEGATE));
        expectError(IInstanceRegistry.NotAuthorised.selector, word(DELEGATE));
        register(DELEGATE, 0, 1);
    }

    function test_setDelegate_forAll_letsItRegister() public {
        allow(ALL, true);
        register(DELEGATE, 0, 1);
    }

    function test_setDelegate_takenBack_reverts() public {
        allow(INSTANCE, true);
        allow(INSTANCE, false);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(DELEGATE));
        register(DELEGATE, 0, 1);
    }

    function test_setDelegate_byStranger_isARightInTheStrangersNamespaceOnly() public {
        vm.prank(STRANGER);
        registry.setDelegate(ALL, STRANGER, true);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        register(STRANGER, 0, 1);
    }

    function test_setDelegate_zero_reverts() public {
        vm.expectRevert(IInstanceRegistry.ZeroId.selector);
        registry.setDelegate(ALL, address(0), true);
    }

    function test_registerInstance_byDelegate_neverUsesTheIssuersNamespace() public {
        allow(ALL, true);
        vm.prank(DELEGATE);
        expectError(IInstanceRegistry.UnknownModel.selector, MODEL);
        registry.registerInstance(MODEL, id("new"));
    }

    function test_requestTransition_byParticipant_isTold() public {
        register(ISSUER, 0, 3);
        admit(INSTANCE, true);
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
        request(CLIENT, 0, "");
    }

    function test_requestTransition_byStrangerDelegateOrIssuer_reverts() public {
        register(ISSUER, 0, 1);
        allow(ALL, true);
        address[3] memory others = [STRANGER, DELEGATE, ISSUER];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(IInstanceRegistry.NotParticipant.selector, word(others[i]));
            request(others[i], 0, "");
        }
    }

    function test_requestTransition_afterRightIsTakenBack_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        admit(INSTANCE, false);
        expectError(IInstanceRegistry.NotParticipant.selector, word(CLIENT));
        request(CLIENT, 0, "");
    }

    function test_requestTransition_ofStateNotEntered_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        expectError(IInstanceRegistry.NoSuchState.selector, bytes32(uint256(1)));
        request(CLIENT, 1, "");
    }

    function test_requestTransition_afterTermination_reverts() public {
        register(ISSUER, 0, 1);
        terminate(ISSUER, 1);
        admit(INSTANCE, true);
        expectError(IInstanceRegistry.AlreadyTerminated.selector, INSTANCE);
        request(CLIENT, 0, "");
    }

    function test_requestTransition_ofUnknownInstance_reverts() public {
        admit(ALL, true);
        vm.prank(CLIENT);
        expectError(IInstanceRegistry.UnknownInstance.selector, id("none"));
        registry.requestTransition(ISSUER, id("none"), 0, "");
    }

    function test_requestTransition_beyond64KiB_reverts() public {
        register(ISSUER, 0, 1);
        admit(INSTANCE, true);
        request(CLIENT, 0, new bytes(65_536));
        expectError(IInstanceRegistry.TooLong.selector, bytes32(uint256(65_536)));
        request(CLIENT, 0, new bytes(65_537));
    }
}
