// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {Reference} from "./Reference.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// States that are registered by their Merkle root make the same history as those that are told.
contract StatesRootTest is RegistryTest {
    function registerRoot(address caller, uint64 first, uint64 count, bytes32 root) private {
        vm.prank(caller);
        registry.registerStatesRoot(ISSUER, INSTANCE, first, count, root, keccak256(""));
    }

    function head() private view returns (bytes32 head_, uint64 count) {
        (, head_, count,,,) = registry.instanceOf(ISSUER, INSTANCE);
    }

    function testFuzz_registerStatesRoot_ofTheStates_givesTheirHead(uint8 n) public {
        vm.assume(n != 0);
        bytes32[] memory list = states(n, "run");
        uint256 before = vm.snapshotState();
        register(ISSUER, 0, n);
        (bytes32 told,) = head();

        vm.revertToState(before);
        registerRoot(ISSUER, 0, n, Reference.root(list, 0, n));
        (bytes32 head_, uint64 count) = head();
        vm.assertEq(head_, told);
        vm.assertEq(count, n);
    }

    function test_registerStatesRoot_betweenBatches_keepsTheOrder() public {
        register(ISSUER, 0, 2);
        registerRoot(ISSUER, 2, 1_000_000, id("root"));
        expectMismatch(1_000_002, 2);
        register(ISSUER, 2, 1);
        register(ISSUER, 1_000_002, 1);
    }

    function test_registerStatesRoot_emits_whatAReaderNeeds() public {
        (bytes32 before,) = head();
        bytes32 links = id("links");
        bytes32 after_ = Reference.afterRoot(before, 0, 7, id("root"), links, block.number, block.timestamp);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.StatesRootRegistered(ISSUER, INSTANCE, 0, 7, after_, id("root"), links);
        vm.prank(ISSUER);
        registry.registerStatesRoot(ISSUER, INSTANCE, 0, 7, id("root"), links);
    }

    function test_registerStatesRoot_ofNone_reverts() public {
        vm.expectRevert(IInstanceRegistry.NoStates.selector);
        registerRoot(ISSUER, 0, 0, id("root"));
    }

    function test_registerStatesRoot_ofMoreThanHaveNumbers_reverts() public {
        uint64 limit = type(uint32).max;
        register(ISSUER, 0, 1);
        for (uint256 i = 0; i < 3; ++i) {
            uint64 count = [limit, limit + 1, type(uint64).max][i];
            expectError(IInstanceRegistry.TooManyStates.selector, bytes32(uint256(limit)));
            registerRoot(ISSUER, 1, count, id("root"));
        }
        registerRoot(ISSUER, 1, limit - 1, id("root"));
        register(ISSUER, limit, 1);
        expectError(IInstanceRegistry.TooManyStates.selector, bytes32(uint256(limit)));
        registerRoot(ISSUER, limit + 1, 1, id("root"));
    }

    function test_registerStatesRoot_ofManyInstances_isOneMulticall() public {
        bytes[] memory calls = new bytes[](20);
        for (uint256 i = 0; i < 10; ++i) {
            bytes32 instance = keccak256(abi.encode("other", i));
            calls[2 * i] = abi.encodeCall(IInstanceRegistry.registerInstance, (MODEL, instance));
            calls[2 * i + 1] = abi.encodeCall(
                IInstanceRegistry.registerStatesRoot, (ISSUER, instance, 0, 100, id("root"), keccak256(""))
            );
        }
        vm.prank(ISSUER);
        registry.multicall(calls);
        (,, uint64 count,,,) = registry.instanceOf(ISSUER, keccak256(abi.encode("other", uint256(9))));
        vm.assertEq(count, 100);
    }

    function test_registerStatesRoot_byAStranger_reverts() public {
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        registerRoot(STRANGER, 0, 1, id("root"));
    }

    function test_registerStatesRoot_afterTermination_reverts() public {
        terminate(ISSUER, 0);
        expectError(IInstanceRegistry.AlreadyTerminated.selector, INSTANCE);
        registerRoot(ISSUER, 0, 1, id("root"));
    }
}
