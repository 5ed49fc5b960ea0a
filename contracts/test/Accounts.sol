// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Test} from "./Test.sol";

/// Accounts that send a call themselves or sign it for a relayer: what comes of it must be the same.
abstract contract Accounts is Test {
    /// What an account may sign for a relayer.
    struct Relay {
        address account;
        bytes call;
        uint256 nonce;
        uint64 deadline;
    }

    InstanceRegistry public immutable REGISTRY;
    address public constant RELAYER = address(0x4e1a);
    uint256 public constant ACCOUNTS = 3;

    mapping(address account => uint256) public relayedCallsOf;

    constructor(InstanceRegistry registry) {
        REGISTRY = registry;
    }

    function pass(uint8 blocks) external {
        vm.roll(vm.getBlockNumber() + blocks);
        vm.warp(vm.getBlockTimestamp() + uint256(blocks) * 12);
    }

    function accountAt(uint256 who) public pure returns (address) {
        return vm.addr(keyAt(who));
    }

    /// Makes a call as an account. `right`: whether the registry has to take it.
    function callAs(uint256 who, bool relayed, bytes memory call, bool right) internal {
        bool taken = relayed ? relayNow(who, call) : send(who, call);
        require(taken || !right, "a right call was refused");
        require(right || !taken, "a wrong call was taken");
    }

    function relay(Relay memory it, bytes memory signature) internal returns (bool taken) {
        vm.prank(RELAYER);
        try REGISTRY.relay(it.account, it.call, it.nonce, it.deadline, signature) {
            ++relayedCallsOf[it.account];
            return true;
        } catch {}
    }

    function signed(uint256 who, Relay memory it) internal view returns (bytes memory) {
        return sign(who, REGISTRY.relayDigest(it.account, it.call, it.nonce, it.deadline));
    }

    function sign(uint256 who, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyAt(who), digest);
        return abi.encodePacked(r, s, v);
    }

    function relayNow(uint256 who, bytes memory call) private returns (bool) {
        address account = accountAt(who);
        Relay memory it = Relay(account, call, relayedCallsOf[account], uint64(vm.getBlockTimestamp()));
        return relay(it, signed(who, it));
    }

    function send(uint256 who, bytes memory call) private returns (bool taken) {
        vm.prank(accountAt(who));
        (taken,) = address(REGISTRY).call(call);
    }

    function keyAt(uint256 who) private pure returns (uint256) {
        return 1 + who % ACCOUNTS;
    }
}
