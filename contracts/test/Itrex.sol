// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// The contract of the paper as far as its interface is known, for tests: what it emits and what its views answer, with its holes. Anybody names
/// any owner, registers again what is known, and takes over what others own. Never deploy it where it matters.
contract Itrex {
    struct Certificate {
        bytes32 fingerprint;
        bytes16 sigPrefix;
        bytes32 sigPartA;
        bytes32 sigPartB;
    }

    event RegisterModel(bytes32 indexed modelHash);
    event RegisterInstance(bytes32 indexed instanceHash, bytes32 modelHash);
    event RegisterState(bytes32 indexed stateHash, bytes32 instanceHash);
    event RegisterTransition(bytes32 indexed instance, bytes32 preState, bytes32 postState);
    event TerminateInstance(bytes32 indexed instance);
    event ClientNotificationEvent(bytes32 indexed stateHash, address clientID);

    mapping(bytes32 hash => address) public getAccount;
    mapping(bytes32 hash => bytes32) public getMetadata;
    mapping(bytes32 instance => bytes32) public getModel;
    mapping(bytes32 state => bytes32) public getInstance;
    mapping(bytes32 state => address) public getClient;
    mapping(address client => Certificate) public getCertificate;
    uint256 public getNModels;

    function registerModel(bytes32 modelHash, address ownerAccount, bytes32 metadata) public {
        getAccount[modelHash] = ownerAccount;
        getMetadata[modelHash] = metadata;
        ++getNModels;
        emit RegisterModel(modelHash);
    }

    function registerInstance(bytes32 modelHash, bytes32 instHash, address ownerAccount, bytes32 metadata) public {
        getModel[instHash] = modelHash;
        getAccount[instHash] = ownerAccount;
        getMetadata[instHash] = metadata;
        emit RegisterInstance(instHash, modelHash);
    }

    function registerState(bytes32 instHash, bytes32 stateHash) public {
        getInstance[stateHash] = instHash;
        getClient[stateHash] = msg.sender;
        emit RegisterState(stateHash, instHash);
        emit ClientNotificationEvent(stateHash, msg.sender);
    }

    function registerState(bytes32 modelHash, bytes32 instHash, bytes32 stateHash) external {
        registerModel(modelHash, msg.sender, 0);
        registerInstance(modelHash, instHash, msg.sender, 0);
        registerState(instHash, stateHash);
    }

    function registerTransition(bytes32 instHash, bytes32 pre, bytes32 post) external {
        emit RegisterTransition(instHash, pre, post);
    }

    function terminateInstance(bytes32 instHash) external {
        emit TerminateInstance(instHash);
    }

    /// Emits nothing: only the calldata tells.
    function registerCertificate(
        address client,
        bytes32 fingerprint,
        bytes16 sigPrefix,
        bytes32 sigPartA,
        bytes32 sigPartB
    ) external {
        require(getCertificate[client].fingerprint == 0, "known");
        getCertificate[client] = Certificate(fingerprint, sigPrefix, sigPartA, sigPartB);
    }
}
