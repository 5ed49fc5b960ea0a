// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry, Participation} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Accounts} from "./Accounts.sol";

/// Every account is an issuer, and gives rights to the others, uses them, and tries what it has no right to.
contract RightsHandler is Accounts {
    uint256 public constant INSTANCES = 2;
    bytes32 private constant MODEL = keccak256("model");

    /// Scope 0: for all instances.
    mapping(address issuer => mapping(bytes32 scope => mapping(address who => uint256 blockNumber))) public
        delegateSinceBlock;
    mapping(address issuer => mapping(bytes32 scope => mapping(address who => Participation))) public participationOf;
    mapping(address issuer => mapping(bytes32 instance => uint64)) public countOf;

    constructor(InstanceRegistry registry) Accounts(registry) {
        for (uint256 who = 0; who < ACCOUNTS; ++who) {
            callAs(who, false, abi.encodeCall(IInstanceRegistry.registerModel, (MODEL)), true);
            for (uint256 i = 1; i <= INSTANCES; ++i) {
                callAs(who, false, abi.encodeCall(IInstanceRegistry.registerInstance, (MODEL, scopeAt(i))), true);
            }
        }
    }

    /// 0: all instances, then each of them.
    function scopeAt(uint256 which) public pure returns (bytes32) {
        return bytes32(which % (1 + INSTANCES));
    }

    function mayRegister(address issuer, bytes32 instance, address by) public view returns (bool) {
        return by == issuer || delegateSinceBlock[issuer][instance][by] != 0 || delegateSinceBlock[issuer][0][by] != 0;
    }

    function mayRequest(address issuer, bytes32 instance, address by) public view returns (bool) {
        return participationOf[issuer][instance][by] == Participation.Accepted
            || participationOf[issuer][0][by] == Participation.Accepted;
    }

    function setDelegate(uint256 who, uint256 which, uint256 delegate, bool allowed, bool relayed) external {
        (bytes32 scope, address to) = (scopeAt(which), accountAt(delegate));
        callAs(who, relayed, abi.encodeCall(IInstanceRegistry.setDelegate, (scope, to, allowed)), true);
        uint256 since = delegateSinceBlock[accountAt(who)][scope][to];
        delegateSinceBlock[accountAt(who)][scope][to] = !allowed ? 0 : since != 0 ? since : vm.getBlockNumber();
    }

    function registerStates(uint256 who, uint256 which, uint256 by, bool relayed) external {
        (address issuer, bytes32 instance) = (accountAt(who), scopeAt(1 + which % INSTANCES));
        bool right = mayRegister(issuer, instance, accountAt(by));
        uint64 first = countOf[issuer][instance];
        bytes memory call =
            abi.encodeCall(IInstanceRegistry.registerStates, (issuer, instance, first, new bytes32[](1), ""));
        callAs(by, relayed, call, right);
        if (right) ++countOf[issuer][instance];
    }

    function setParticipant(uint256 who, uint256 which, uint256 participant, bool allowed, bool relayed) external {
        (bytes32 scope, address to) = (scopeAt(which), accountAt(participant));
        callAs(who, relayed, abi.encodeCall(IInstanceRegistry.setParticipant, (scope, to, allowed)), true);
        Participation before = participationOf[accountAt(who)][scope][to];
        participationOf[accountAt(who)][scope][to] =
            !allowed ? Participation.None : before == Participation.None ? Participation.Named : before;
    }

    function setParticipation(uint256 who, uint256 which, uint256 by, bool accepted, bool relayed) external {
        (address issuer, bytes32 scope, address participant) = (accountAt(who), scopeAt(which), accountAt(by));
        bool right = participationOf[issuer][scope][participant] != Participation.None;
        callAs(by, relayed, abi.encodeCall(IInstanceRegistry.setParticipation, (issuer, scope, accepted)), right);
        if (right) {
            participationOf[issuer][scope][participant] = accepted ? Participation.Accepted : Participation.Named;
        }
    }

    function requestTransition(uint256 who, uint256 which, uint256 by, uint64 sequence, bool relayed) external {
        (address issuer, bytes32 instance) = (accountAt(who), scopeAt(1 + which % INSTANCES));
        sequence %= 4;
        bool right = mayRequest(issuer, instance, accountAt(by)) && sequence < countOf[issuer][instance];
        bytes memory call = abi.encodeCall(IInstanceRegistry.requestTransition, (issuer, instance, sequence, ""));
        callAs(by, relayed, call, right);
    }
}
