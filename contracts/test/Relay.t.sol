// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Outcome} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {Wallet} from "./Wallet.sol";

/// What an account signed, anyone submits: once, in time, in order, and as nobody else.
contract RelayTest is RegistryTest {
    uint256 private constant KEY = 0xc0ffee;
    address private constant RELAYER = address(0x4e1a);
    address private immutable SIGNER = vm.addr(KEY);

    function setUp() public override {
        super.setUp();
        vm.warp(1_000);
    }

    function signed(InstanceRegistry at_, uint256 key, bytes memory call, uint256 nonce, uint64 deadline)
        private
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, at_.relayDigest(vm.addr(key), call, nonce, deadline));
        return abi.encodePacked(r, s, v);
    }

    function relay(uint256 key, bytes memory call) private returns (bytes memory) {
        uint256 nonce = registry.nonceOf(vm.addr(key));
        bytes memory signature = signed(registry, key, call, nonce, 1_000);
        vm.prank(RELAYER);
        return registry.relay(vm.addr(key), call, nonce, 1_000, signature);
    }

    function model(string memory content) private pure returns (bytes memory) {
        return abi.encodeCall(IInstanceRegistry.registerModel, (id(content)));
    }

    function many(bytes[] memory calls) private pure returns (bytes memory) {
        return abi.encodeCall(IInstanceRegistry.multicall, (calls));
    }

    function test_relayDigest_isThatOfEip712() public view {
        bytes32 content = keccak256(
            abi.encode(
                keccak256("Relay(address account,bytes call,uint256 nonce,uint64 deadline)"),
                SIGNER,
                keccak256(model("m")),
                7,
                9
            )
        );
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", registry.domainSeparator(), content));
        vm.assertEq(registry.relayDigest(SIGNER, model("m"), 7, 9), expected);
    }

    function test_relay_registration_isTheSigners() public {
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.ModelRegistered(SIGNER, id("m"));
        relay(KEY, model("m"));
        vm.assertTrue(registry.modelRegisteredAtBlock(SIGNER, id("m")) != 0);
        vm.assertEq(registry.modelRegisteredAtBlock(RELAYER, id("m")), 0);
        vm.assertEq(registry.nonceOf(SIGNER), 1);
    }

    function test_relay_wholeRun_equalsTheSendersOwn() public {
        bytes[] memory calls = new bytes[](4);
        calls[0] = model("m");
        calls[1] = abi.encodeCall(IInstanceRegistry.registerInstance, (id("m"), id("i")));
        calls[2] = abi.encodeCall(IInstanceRegistry.registerStates, (SIGNER, id("i"), 0, states(13, "run"), ""));
        calls[3] = abi.encodeCall(IInstanceRegistry.terminateInstance, (SIGNER, id("i"), 13, Outcome.Failed));
        uint256 before = vm.snapshotState();
        bytes[] memory results = abi.decode(relay(KEY, many(calls)), (bytes[]));
        vm.assertEq(results.length, 4);
        (, bytes32 relayed,,, Outcome outcome,) = registry.instanceOf(SIGNER, id("i"));
        vm.assertTrue(outcome == Outcome.Failed);

        vm.revertToState(before);
        vm.prank(SIGNER);
        registry.multicall(calls);
        (, bytes32 sent,,,,) = registry.instanceOf(SIGNER, id("i"));
        vm.assertEq(relayed, sent);
    }

    function test_relay_ofDelegateAndParticipant_isTheirs() public {
        vm.prank(ISSUER);
        registry.setDelegate(ALL, SIGNER, true);
        vm.prank(ISSUER);
        registry.setParticipant(ALL, SIGNER, true);
        relay(KEY, abi.encodeCall(IInstanceRegistry.registerStates, (ISSUER, INSTANCE, 0, states(1, "run"), "")));
        relay(KEY, abi.encodeCall(IInstanceRegistry.setParticipation, (ISSUER, ALL, true)));
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.TransitionRequested(ISSUER, INSTANCE, SIGNER, 0, "go");
        relay(KEY, abi.encodeCall(IInstanceRegistry.requestTransition, (ISSUER, INSTANCE, 0, "go")));
    }

    /// Nothing in a relayed call names its caller, however it is wrapped, and whoever relays it.
    function test_relay_intoAnothersNamespace_reverts() public {
        bytes memory intruding =
            abi.encodeCall(IInstanceRegistry.registerStates, (ISSUER, INSTANCE, 0, states(1, "run"), ""));
        intruding = abi.encodePacked(intruding, ISSUER);
        bytes[] memory calls = new bytes[](1);
        calls[0] = intruding;
        bytes[3] memory wrapped = [intruding, many(calls), abi.encodePacked(many(calls), ISSUER)];
        for (uint256 i = 0; i < wrapped.length; ++i) {
            bytes memory signature = signed(registry, KEY, wrapped[i], 0, 1_000);
            vm.prank(ISSUER); // who relays lends nothing but the gas
            expectError(IInstanceRegistry.NotAuthorised.selector, word(SIGNER));
            registry.relay(SIGNER, wrapped[i], 0, 1_000, signature);
        }
    }

    function test_relay_withinRelay_returnsToTheOuterAccount() public {
        uint256 other = 0xbeef;
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            IInstanceRegistry.relay,
            (vm.addr(other), model("inner"), 0, 1_000, signed(registry, other, model("inner"), 0, 1_000))
        );
        calls[1] = model("outer");
        relay(KEY, many(calls));
        vm.assertTrue(registry.modelRegisteredAtBlock(vm.addr(other), id("inner")) != 0);
        vm.assertTrue(registry.modelRegisteredAtBlock(SIGNER, id("outer")) != 0);
        vm.assertEq(registry.modelRegisteredAtBlock(vm.addr(other), id("outer")), 0);
    }

    function test_relay_afterwards_senderIsTheCallerAgain() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            IInstanceRegistry.relay, (SIGNER, model("m"), 0, 1_000, signed(registry, KEY, model("m"), 0, 1_000))
        );
        calls[1] = model("own");
        vm.prank(RELAYER);
        registry.multicall(calls);
        vm.assertTrue(registry.modelRegisteredAtBlock(RELAYER, id("own")) != 0);
    }

    function test_relay_twice_reverts() public {
        bytes memory signature = signed(registry, KEY, model("m"), 0, 1_000);
        registry.relay(SIGNER, model("m"), 0, 1_000, signature);
        vm.expectRevert(abi.encodeWithSelector(IInstanceRegistry.NonceMismatch.selector, 1, 0));
        registry.relay(SIGNER, model("m"), 0, 1_000, signature);
    }

    function test_relay_multicallOfNone_usesTheNonceUp() public {
        relay(KEY, many(new bytes[](0)));
        bytes memory signature = signed(registry, KEY, model("m"), 0, 1_000);
        vm.expectRevert(abi.encodeWithSelector(IInstanceRegistry.NonceMismatch.selector, 1, 0));
        registry.relay(SIGNER, model("m"), 0, 1_000, signature);
    }

    function test_relay_afterDeadline_reverts() public {
        bytes memory signature = signed(registry, KEY, model("m"), 0, 999);
        expectError(IInstanceRegistry.Expired.selector, bytes32(uint256(999)));
        registry.relay(SIGNER, model("m"), 0, 999, signature);
    }

    function test_relay_ofACallThatReverts_revertsWithItsErrorAndKeepsTheNonce() public {
        relay(KEY, model("m"));
        bytes memory signature = signed(registry, KEY, model("m"), 1, 1_000);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, id("m"));
        registry.relay(SIGNER, model("m"), 1, 1_000, signature);
        vm.assertEq(registry.nonceOf(SIGNER), 1);
    }

    function test_relay_ofNoCall_reverts() public {
        bytes memory signature = signed(registry, KEY, hex"deadbeef", 0, 1_000);
        vm.expectRevert(bytes(""));
        registry.relay(SIGNER, hex"deadbeef", 0, 1_000, signature);
    }

    function test_relay_signedForAnotherContractOrChain_reverts() public {
        InstanceRegistry elsewhere = new InstanceRegistry();
        refuse(SIGNER, model("m"), 0, 1_000, signed(elsewhere, KEY, model("m"), 0, 1_000));
        vm.chainId(11155111);
        bytes memory signature = signed(registry, KEY, model("m"), 0, 1_000);
        vm.chainId(1);
        refuse(SIGNER, model("m"), 0, 1_000, signature);
    }

    function test_relay_withAnotherContent_reverts() public {
        bytes memory signature = signed(registry, KEY, model("m"), 0, 1_000);
        refuse(SIGNER, model("n"), 0, 1_000, signature);
        refuse(SIGNER, model("m"), 0, 1_001, signature);
        refuse(STRANGER, model("m"), 0, 1_000, signature);
        refuse(address(0), model("m"), 0, 1_000, new bytes(65));
        refuse(address(registry), model("m"), 0, 1_000, signature);
    }

    function testFuzz_relay_anySignature_reverts(bytes calldata signature) public {
        refuse(SIGNER, model("m"), 0, 1_000, signature);
    }

    function refuse(address account, bytes memory call, uint256 nonce, uint64 deadline, bytes memory signature)
        private
    {
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.relay(account, call, nonce, deadline, signature);
    }

    function test_relay_forAContractWallet_followsItsAnswer() public {
        bytes32 digest = registry.relayDigest(address(0xa11e7), model("m"), 0, 1_000);
        vm.etch(address(0xa11e7), address(new Wallet(digest, 0x1626ba7e)).code);
        refuse(address(0xa11e7), model("n"), 0, 1_000, "another call");
        registry.relay(address(0xa11e7), model("m"), 0, 1_000, "whatever the wallet takes");
        vm.assertTrue(registry.modelRegisteredAtBlock(address(0xa11e7), id("m")) != 0);
    }
}
