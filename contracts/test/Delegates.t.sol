// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// Delegates register for an issuer, and may do no more.
contract DelegatesTest is RegistryTest {
    address private constant DELEGATE = address(0xde1e);

    function allow(bytes32 instance, bool allowed) private {
        vm.prank(ISSUER);
        registry.setDelegate(instance, DELEGATE, allowed);
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

    function test_setDelegate_again_keepsTheBlockSinceWhichItHolds() public {
        vm.roll(70);
        allow(ALL, true);
        vm.roll(80);
        allow(ALL, true);
        vm.assertEq(registry.delegateSinceBlock(ISSUER, ALL, DELEGATE), 70);
        allow(ALL, false);
        vm.assertEq(registry.delegateSinceBlock(ISSUER, ALL, DELEGATE), 0);
        vm.roll(90);
        allow(ALL, true);
        vm.assertEq(registry.delegateSinceBlock(ISSUER, ALL, DELEGATE), 90);
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
}
