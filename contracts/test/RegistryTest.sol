// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Test} from "./Test.sol";

/// A registry in which `ISSUER` has a model and an instance.
abstract contract RegistryTest is Test {
    address internal constant ISSUER = address(0x1551);
    address internal constant STRANGER = address(0x5752);
    bytes32 internal immutable MODEL = id("model");
    bytes32 internal immutable INSTANCE = id("instance");
    bytes32 internal constant ALL = 0;

    InstanceRegistry internal registry;

    function setUp() public virtual {
        registry = new InstanceRegistry();
        vm.prank(ISSUER);
        registry.registerModel(MODEL);
        vm.prank(ISSUER);
        registry.registerInstance(MODEL, INSTANCE);
    }

    /// `n` states with the ids that `content` and their numbers give.
    function states(uint256 n, string memory content) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            list[i] = keccak256(abi.encode(content, i));
        }
    }

    function register(address caller, uint64 first, uint256 n) internal {
        vm.prank(caller);
        registry.registerStates(ISSUER, INSTANCE, first, states(n, "run"), "");
    }

    function terminate(address caller, uint64 count) internal {
        vm.prank(caller);
        registry.terminateInstance(ISSUER, INSTANCE, count, Outcome.Succeeded);
    }

    function expectError(bytes4 selector, bytes32 value) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, value));
    }

    function expectMismatch(uint64 expected, uint64 given) internal {
        vm.expectRevert(abi.encodeWithSelector(IInstanceRegistry.SequenceMismatch.selector, expected, given));
    }

    function word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
