// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// Several calls in one transaction: each as the caller, all or none.
contract MulticallTest is RegistryTest {
    function run(address issuer) private pure returns (bytes[] memory calls) {
        calls = new bytes[](4);
        calls[0] = abi.encodeCall(IInstanceRegistry.registerModel, (id("m")));
        calls[1] = abi.encodeCall(IInstanceRegistry.registerInstance, (id("m"), id("i")));
        calls[2] = abi.encodeCall(IInstanceRegistry.registerStates, (issuer, id("i"), 0, states(13, "run"), ""));
        calls[3] = abi.encodeCall(IInstanceRegistry.terminateInstance, (issuer, id("i"), 13, Outcome.Succeeded));
    }

    function test_multicall_wholeRun_equalsTheSingleCalls() public {
        vm.prank(STRANGER);
        registry.multicall(run(STRANGER));
        (bytes32 model, bytes32 head, uint64 count,, Outcome outcome,) = registry.instanceOf(STRANGER, id("i"));
        vm.assertEq(model, id("m"));
        vm.assertEq(count, 13);
        vm.assertEq(uint256(outcome), uint256(Outcome.Succeeded));

        IInstanceRegistry singly = setUpAgain();
        vm.prank(STRANGER);
        singly.registerModel(id("m"));
        vm.prank(STRANGER);
        singly.registerInstance(id("m"), id("i"));
        vm.prank(STRANGER);
        singly.registerStates(STRANGER, id("i"), 0, states(13, "run"), "");
        vm.prank(STRANGER);
        singly.terminateInstance(STRANGER, id("i"), 13, Outcome.Succeeded);
        (, bytes32 expected,,,,) = singly.instanceOf(STRANGER, id("i"));
        vm.assertEq(head, expected);
    }

    /// A registry at the same address, since heads depend on it, without what the calls wrote.
    function setUpAgain() private returns (IInstanceRegistry) {
        vm.revertToState(atSetUp);
        return registry;
    }

    uint256 private atSetUp;

    function setUp() public override {
        super.setUp();
        atSetUp = vm.snapshotState();
    }

    function test_multicall_inAnothersName_revertsWholly() public {
        vm.prank(STRANGER);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        registry.multicall(run(ISSUER));
        vm.assertEq(registry.modelRegisteredAtBlock(STRANGER, id("m")), 0);
    }

    function test_multicall_views_returnTheirAnswers() public {
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IInstanceRegistry.modelRegisteredAtBlock, (ISSUER, MODEL));
        bytes[] memory answers = registry.multicall(calls);
        vm.assertEq(answers[0], abi.encode(registry.modelRegisteredAtBlock(ISSUER, MODEL)));
    }

    function test_multicall_withEther_reverts() public {
        (bool ok,) = address(registry).call{value: 1}(abi.encodeCall(IInstanceRegistry.multicall, (new bytes[](0))));
        vm.assertFalse(ok);
    }
}
