// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// States and termination: in order, none skipped or repeated, sealed for good.
contract StatesTest is RegistryTest {
    function test_registerStates_inOrder_extendsCountAndHead() public {
        (, bytes32 before,,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.roll(40);
        vm.warp(4_000);
        bytes32[] memory batch = states(5, "run");
        bytes32 expected = Reference.afterBatch(before, 0, batch, "", 40, 4_000);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.StatesRegistered(ISSUER, INSTANCE, 0, expected, batch, "");
        register(ISSUER, 0, 5);
        (, bytes32 head, uint64 count,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.assertEq(head, expected);
        vm.assertEq(count, 5);
    }

    /// Every shape of tree that up to 70 leaves have, and any place in the sequence.
    function testFuzz_registerStates_anyBatch_hasTheReferenceHead(uint8 earlier, uint8 n, uint32 blocks, bytes32 seed)
        public
    {
        uint64 first = earlier % 20;
        if (first > 0) register(ISSUER, 0, first);
        bytes32[] memory batch = states(1 + n % 70, string(abi.encode(seed)));
        bytes memory predecessors = backwards(first, batch.length, uint256(seed));
        (, bytes32 before,,,,) = registry.instanceOf(ISSUER, INSTANCE);

        uint256 blockNumber = vm.getBlockNumber() + blocks;
        uint256 timestamp = vm.getBlockTimestamp() + uint256(blocks) * 12;
        vm.roll(blockNumber);
        vm.warp(timestamp);
        vm.prank(ISSUER);
        registry.registerStates(ISSUER, INSTANCE, first, batch, predecessors);
        (, bytes32 head, uint64 count,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.assertEq(head, Reference.afterBatch(before, first, batch, predecessors, blockNumber, timestamp));
        vm.assertEq(count, first + batch.length);
    }

    /// Each state names any earlier one, or none.
    function backwards(uint256 first, uint256 n, uint256 seed) private pure returns (bytes memory list) {
        for (uint256 k = first; k < first + n; ++k) {
            uint256 choice = uint256(keccak256(abi.encode(seed, k))) % (k + 1);
            list = bytes.concat(list, bytes4(choice == k ? type(uint32).max : uint32(choice)));
        }
    }

    function test_registerStates_skipping_reverts() public {
        register(ISSUER, 0, 2);
        expectMismatch(2, 3);
        register(ISSUER, 3, 1);
    }

    function test_registerStates_repeating_reverts() public {
        register(ISSUER, 0, 2);
        expectMismatch(2, 1);
        register(ISSUER, 1, 1);
    }

    function testFuzz_registerStates_anyOtherFirst_reverts(uint64 first) public {
        vm.assume(first != 2);
        register(ISSUER, 0, 2);
        expectMismatch(2, first);
        register(ISSUER, first, 1);
    }

    function test_registerStates_none_reverts() public {
        vm.expectRevert(IInstanceRegistry.NoStates.selector);
        register(ISSUER, 0, 0);
    }

    function test_registerStates_ofUnknownInstance_reverts() public {
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.UnknownInstance.selector, id("none"));
        registry.registerStates(ISSUER, id("none"), 0, states(1, "run"), "");
    }

    function test_registerStates_byStranger_reverts() public {
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        register(STRANGER, 0, 1);
    }

    function test_registerStates_namingAnEarlierState_isTaken() public {
        vm.prank(ISSUER);
        registry.registerStates(
            ISSUER, INSTANCE, 0, states(4, "run"), hex"ffffffff" hex"00000000" hex"00000000" hex"00000002"
        );
        (,, uint64 count,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.assertEq(count, 4);
    }

    function test_registerStates_namingItselfOrALaterState_reverts() public {
        register(ISSUER, 0, 7);
        bytes4[3] memory bad = [bytes4(0x00000008), 0x00000009, 0xfffffffe];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.prank(ISSUER);
            vm.expectRevert(abi.encodeWithSelector(IInstanceRegistry.BadPredecessor.selector, 8));
            registry.registerStates(ISSUER, INSTANCE, 7, states(2, "run"), bytes.concat(hex"00000006", bad[i]));
        }
    }

    function testFuzz_registerStates_predecessorsOfAnotherLength_revert(bytes calldata predecessors) public {
        vm.assume(predecessors.length != 0 && predecessors.length != 12);
        vm.prank(ISSUER);
        vm.expectRevert(IInstanceRegistry.BadPredecessorsLength.selector);
        registry.registerStates(ISSUER, INSTANCE, 0, states(3, "run"), predecessors);
    }

    function testFuzz_terminateInstance_anyOutcome_seals(uint8 number) public {
        Outcome outcome = Outcome(1 + number % 4);
        register(ISSUER, 0, 3);
        (, bytes32 before,,,,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.roll(40);
        vm.warp(4_000);
        bytes32 expected = Reference.afterTermination(before, 3, outcome, 40, 4_000);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.InstanceTerminated(ISSUER, INSTANCE, 3, outcome, expected);
        vm.prank(ISSUER);
        registry.terminateInstance(ISSUER, INSTANCE, 3, outcome);
        (, bytes32 head, uint64 count,, Outcome stored,) = registry.instanceOf(ISSUER, INSTANCE);
        vm.assertEq(head, expected);
        vm.assertEq(count, 3);
        vm.assertEq(uint256(stored), uint256(outcome));
    }

    function test_registerStates_afterTermination_reverts() public {
        register(ISSUER, 0, 1);
        terminate(ISSUER, 1);
        expectError(IInstanceRegistry.AlreadyTerminated.selector, INSTANCE);
        register(ISSUER, 1, 1);
    }

    function test_terminateInstance_twice_reverts() public {
        terminate(ISSUER, 0);
        expectError(IInstanceRegistry.AlreadyTerminated.selector, INSTANCE);
        terminate(ISSUER, 0);
    }

    function test_terminateInstance_byStranger_reverts() public {
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        terminate(STRANGER, 0);
    }

    function test_terminateInstance_withAnotherCount_reverts() public {
        register(ISSUER, 0, 2);
        expectMismatch(2, 1);
        terminate(ISSUER, 1);
    }

    function test_terminateInstance_withoutOutcome_reverts() public {
        vm.prank(ISSUER);
        vm.expectRevert(IInstanceRegistry.BadOutcome.selector);
        registry.terminateInstance(ISSUER, INSTANCE, 0, Outcome.None);
    }

    function test_terminateInstance_unknown_reverts() public {
        vm.prank(ISSUER);
        expectError(IInstanceRegistry.UnknownInstance.selector, id("none"));
        registry.terminateInstance(ISSUER, id("none"), 0, Outcome.Failed);
    }
}
