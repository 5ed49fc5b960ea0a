// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// Models and instances: everyone in a namespace of their own, written once.
contract RegistrationTest is RegistryTest {
    function test_registerModel_new_isRecordedWithItsBlock() public {
        vm.roll(77);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.ModelRegistered(STRANGER, id("other"));
        vm.prank(STRANGER);
        registry.registerModel(id("other"));
        vm.assertEq(registry.modelRegisteredAtBlock(STRANGER, id("other")), 77);
    }

    function test_registerModel_twice_reverts() public {
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, MODEL);
        registry.registerModel(MODEL);
    }

    function test_registerModel_zero_reverts() public {
        vm.expectRevert(IInstanceRegistry.ZeroId.selector);
        registry.registerModel(0);
    }

    function test_registerModel_ofAnother_staysInTheCallersNamespace() public {
        uint256 before = registry.modelRegisteredAtBlock(ISSUER, MODEL);
        vm.roll(99);
        vm.prank(STRANGER);
        registry.registerModel(MODEL);
        vm.assertEq(registry.modelRegisteredAtBlock(ISSUER, MODEL), before);
        vm.assertEq(registry.modelRegisteredAtBlock(STRANGER, MODEL), 99);
    }

    function test_registerInstance_new_startsAtItsGenesis() public {
        vm.roll(500);
        vm.warp(9_000);
        (uint64 count, bytes32 issuerHead) = registry.issuerChain(ISSUER);
        vm.assertEq(count, 1);
        bytes32 head = Reference.genesis(address(registry), ISSUER, id("second"), MODEL, 1);
        bytes32 next = Reference.afterInstance(issuerHead, id("second"), MODEL, 1, 500, 9_000);

        vm.expectEmit(address(registry));
        emit IInstanceRegistry.InstanceRegistered(ISSUER, id("second"), MODEL, 1, head, next);
        vm.prank(ISSUER);
        registry.registerInstance(MODEL, id("second"));

        (count, issuerHead) = registry.issuerChain(ISSUER);
        vm.assertEq(count, 2);
        vm.assertEq(issuerHead, next);
        checkInstance(id("second"), head, 1, 500);
    }

    function checkInstance(bytes32 instance, bytes32 expectedHead, uint256 expectedOrdinal, uint256 block_)
        private
        view
    {
        (bytes32 model, bytes32 head, uint64 count, uint64 ordinal, Outcome outcome, uint64 registeredAtBlock) =
            registry.instanceOf(ISSUER, instance);
        vm.assertEq(model, MODEL);
        vm.assertEq(head, expectedHead);
        vm.assertEq(count, 0);
        vm.assertEq(ordinal, expectedOrdinal);
        vm.assertEq(uint256(outcome), uint256(Outcome.None));
        vm.assertEq(registeredAtBlock, block_);
    }

    function test_registerInstance_twice_reverts() public {
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, INSTANCE);
        registry.registerInstance(MODEL, INSTANCE);
    }

    function test_registerInstance_underAnotherModel_reverts() public {
        vm.prank(ISSUER);
        registry.registerModel(id("other"));
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, INSTANCE);
        registry.registerInstance(id("other"), INSTANCE);
    }

    function test_registerInstance_afterTermination_cannotReopen() public {
        terminate(ISSUER, 0);
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, INSTANCE);
        registry.registerInstance(MODEL, INSTANCE);
    }

    function test_registerInstance_zero_reverts() public {
        vm.prank(ISSUER);
        vm.expectRevert(IInstanceRegistry.ZeroId.selector);
        registry.registerInstance(MODEL, 0);
    }

    function test_registerInstance_ofAnothersModel_reverts() public {
        vm.prank(STRANGER);
        expectError(IInstanceRegistry.UnknownModel.selector, MODEL);
        registry.registerInstance(MODEL, id("mine"));
    }

    function test_registerInstance_sameIdByAnother_leavesTheFirstUntouched() public {
        (, bytes32 before,,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.prank(STRANGER);
        registry.registerModel(MODEL);
        vm.prank(STRANGER);
        registry.registerInstance(MODEL, INSTANCE);
        (, bytes32 head,,,,) = registry.instanceOf(ISSUER, INSTANCE);
        (, bytes32 theirs,,,,) = registry.instanceOf(STRANGER, INSTANCE);
        vm.assertEq(head, before);
        vm.assertTrue(theirs != head);
    }

    function test_instances_layout_isWhatVerifiersRead() public {
        register(ISSUER, 0, 3);
        terminate(ISSUER, 3);
        (bytes32 model, bytes32 head,,,, uint64 registeredAtBlock) = registry.instanceOf(ISSUER, INSTANCE);
        uint256 base = uint256(keccak256(abi.encode(INSTANCE, keccak256(abi.encode(ISSUER, uint256(0))))));
        vm.assertEq(vm.load(address(registry), bytes32(base)), head);
        vm.assertEq(vm.load(address(registry), bytes32(base + 1)), model);
        uint256 packed = 3 | (0 << 64) | (uint256(registeredAtBlock) << 128) | (uint256(Outcome.Succeeded) << 192);
        vm.assertEq(uint256(vm.load(address(registry), bytes32(base + 2))), packed);
    }
}
