// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Accounts} from "./Accounts.sol";

/// Signs registrations and submits them at random: at once, late, again, out of order, altered.
contract RelayHandler is Accounts {
    struct Signed {
        uint256 who;
        uint256 model;
        uint256 nonce;
        uint64 deadline;
    }

    uint256 public constant MODELS = 4;

    Signed[] private all;
    mapping(address account => mapping(bytes32 model => uint256 blockNumber)) public registeredAtBlock;

    constructor(InstanceRegistry registry) Accounts(registry) {}

    function modelAt(uint256 which) public pure returns (bytes32) {
        return keccak256(abi.encode("model", which % MODELS));
    }

    function signModel(uint256 who, uint256 model, uint8 ahead, uint16 validForSeconds) external {
        uint256 nonce = relayedCallsOf[accountAt(who)] + ahead % 2;
        all.push(Signed(who % ACCOUNTS, model % MODELS, nonce, uint64(vm.getBlockTimestamp()) + validForSeconds));
    }

    function submit(uint256 which) external {
        if (all.length == 0) return;
        Signed memory it = all[which % all.length];
        (address account, bytes32 model) = (accountAt(it.who), modelAt(it.model));
        bool right = it.nonce == relayedCallsOf[account] && vm.getBlockTimestamp() <= it.deadline
            && registeredAtBlock[account][model] == 0;
        Relay memory call = content(it);
        require(relay(call, signed(it.who, call)) == right, "wrongly taken or refused");
        if (right) registeredAtBlock[account][model] = vm.getBlockNumber();
    }

    /// Whatever is not just what was signed is refused.
    function submitAltered(uint256 which, uint8 what, uint256 bit) external {
        if (all.length == 0) return;
        Signed memory it = all[which % all.length];
        Relay memory call = content(it);
        bytes memory signature = signed(it.who, call);
        if (what % 5 == 0) call.account = accountAt(it.who + 1);
        if (what % 5 == 1) call.call = registration(it.model + 1);
        if (what % 5 == 2) ++call.nonce;
        if (what % 5 == 3) ++call.deadline;
        if (what % 5 == 4) signature[bit / 8 % 65] ^= bytes1(uint8(1 << bit % 8));
        require(!relay(call, signature), "what nobody signed was taken");
    }

    function content(Signed memory it) private pure returns (Relay memory) {
        return Relay(accountAt(it.who), registration(it.model), it.nonce, it.deadline);
    }

    function registration(uint256 model) private pure returns (bytes memory) {
        return abi.encodeCall(IInstanceRegistry.registerModel, (modelAt(model)));
    }
}
