// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Calls} from "./Calls.sol";
import {Participation} from "./IInstanceRegistry.sol";
import {Instances} from "./Instances.sol";

/// @title Who else may do what in an issuer's namespace
abstract contract Rights is Instances, Calls {
    uint256 private constant MAX_PAYLOAD = 64 * 1024;

    mapping(address issuer => mapping(bytes32 instance => mapping(address who => uint64 blockNumber))) public
        delegateSinceBlock;
    mapping(address issuer => mapping(bytes32 instance => mapping(address who => Participation))) public
        participationOf;

    function setDelegate(bytes32 instance, address delegate, bool allowed) external {
        if (delegate == address(0)) revert ZeroId();
        address issuer = caller();
        if (!allowed) {
            delegateSinceBlock[issuer][instance][delegate] = 0;
        } else if (delegateSinceBlock[issuer][instance][delegate] == 0) {
            delegateSinceBlock[issuer][instance][delegate] = uint64(block.number);
        }
        emit DelegateSet(issuer, instance, delegate, allowed);
    }

    function setParticipant(bytes32 instance, address participant, bool allowed) external {
        if (participant == address(0)) revert ZeroId();
        address issuer = caller();
        // Who is named again keeps what was accepted before; who is named anew after a withdrawal has to accept anew.
        if (!allowed) {
            participationOf[issuer][instance][participant] = Participation.None;
        } else if (participationOf[issuer][instance][participant] == Participation.None) {
            participationOf[issuer][instance][participant] = Participation.Named;
        }
        emit ParticipantSet(issuer, instance, participant, allowed);
    }

    function setParticipation(address issuer, bytes32 instance, bool accepted) external {
        address participant = caller();
        if (participationOf[issuer][instance][participant] == Participation.None) revert NotParticipant(participant);
        participationOf[issuer][instance][participant] = accepted ? Participation.Accepted : Participation.Named;
        emit ParticipationSet(issuer, instance, participant, accepted);
    }

    function requestTransition(address issuer, bytes32 instance, uint64 sequence, bytes calldata payload) external {
        address participant = caller();
        if (!isParticipant(issuer, instance, participant)) revert NotParticipant(participant);
        if (sequence >= openCount(instances[issuer][instance], instance)) revert NoSuchState(sequence);
        if (payload.length > MAX_PAYLOAD) revert TooLong(MAX_PAYLOAD);
        emit TransitionRequested(issuer, instance, participant, sequence, payload);
    }

    function isDelegate(address issuer, bytes32 instance, address who) public view returns (bool) {
        return delegateSinceBlock[issuer][instance][who] != 0 || delegateSinceBlock[issuer][ALL][who] != 0;
    }

    function isParticipant(address issuer, bytes32 instance, address who) public view returns (bool) {
        return participationOf[issuer][instance][who] == Participation.Accepted
            || participationOf[issuer][ALL][who] == Participation.Accepted;
    }
}
