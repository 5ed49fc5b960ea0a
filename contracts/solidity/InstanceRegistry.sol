// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateSignature} from "./CertificateSignature.sol";
import {HistoryHead} from "./HistoryHead.sol";
import {IInstanceRegistry, Outcome} from "./IInstanceRegistry.sol";

/// @title The registry: who may write, what is written once, and in which order
/// @notice See IInstanceRegistry for each function. No owner, no upgrade, no ether.
contract InstanceRegistry is IInstanceRegistry {
    /// Three slots that verifiers read by eth_getProof: head, model, and the rest packed with count lowest.
    struct Instance {
        bytes32 head;
        bytes32 model;
        uint64 count;
        uint64 ordinal;
        uint64 registeredAtBlock;
        Outcome outcome;
    }

    struct IssuerChain {
        bytes32 head;
        uint64 count;
    }

    struct Certificate {
        uint64 boundAtBlock;
        uint64 revokedAtBlock;
        uint64 notBefore;
        uint64 notAfter;
    }

    /// In place of an instance: all instances of the issuer.
    bytes32 private constant ALL = 0;
    uint256 private constant MAX_PAYLOAD = 64 * 1024;
    uint256 private constant MAX_URI = 256;

    // The order is part of the interface: instances are at slot 0.
    mapping(address issuer => mapping(bytes32 instance => Instance)) private instances;
    mapping(address issuer => mapping(bytes32 model => uint64 blockNumber)) public modelRegisteredAtBlock;
    mapping(address issuer => IssuerChain) private issuers;
    mapping(address issuer => mapping(bytes32 instance => mapping(address who => bool))) private delegates;
    mapping(address issuer => mapping(bytes32 instance => mapping(address who => bool))) private participants;
    mapping(address subject => mapping(bytes32 fingerprint => Certificate)) private certificates;

    // ---- registration ----

    function registerModel(bytes32 model) external {
        if (model == 0) revert ZeroId();
        if (modelRegisteredAtBlock[msg.sender][model] != 0) revert AlreadyRegistered(model);
        modelRegisteredAtBlock[msg.sender][model] = uint64(block.number);
        emit ModelRegistered(msg.sender, model);
    }

    function registerInstance(bytes32 model, bytes32 instance) external {
        if (instance == 0) revert ZeroId();
        if (modelRegisteredAtBlock[msg.sender][model] == 0) revert UnknownModel(model);
        Instance storage it = instances[msg.sender][instance];
        if (it.registeredAtBlock != 0) revert AlreadyRegistered(instance);

        IssuerChain storage chain = issuers[msg.sender];
        uint64 ordinal = chain.count;
        bytes32 issuerHead = HistoryHead.afterInstance(chain.head, instance, model, ordinal);
        chain.head = issuerHead;
        chain.count = ordinal + 1;

        bytes32 head = HistoryHead.genesis(msg.sender, instance, model, ordinal);
        instances[msg.sender][instance] = Instance(head, model, 0, ordinal, uint64(block.number), Outcome.None);
        emit InstanceRegistered(msg.sender, instance, model, ordinal, head, issuerHead);
    }

    function registerStates(
        address issuer,
        bytes32 instance,
        uint64 first,
        bytes32[] calldata states,
        bytes calldata predecessors
    ) external {
        Instance storage it = openInstance(issuer, instance, first);
        if (states.length == 0) revert NoStates();
        HistoryHead.checkPredecessors(predecessors, first, states.length);

        bytes32 head = HistoryHead.afterBatch(it.head, first, states, predecessors);
        it.head = head;
        it.count = first + uint64(states.length);
        emit StatesRegistered(issuer, instance, first, head, states, predecessors);
    }

    function terminateInstance(address issuer, bytes32 instance, uint64 count, Outcome outcome) external {
        Instance storage it = openInstance(issuer, instance, count);
        if (outcome == Outcome.None) revert BadOutcome();

        bytes32 head = HistoryHead.afterTermination(it.head, count, outcome);
        it.head = head;
        it.outcome = outcome;
        emit InstanceTerminated(issuer, instance, count, outcome, head);
    }

    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory result) = address(this).delegatecall(calls[i]);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 0x20), mload(result))
                }
            }
            results[i] = result;
        }
    }

    // ---- rights ----

    function setDelegate(bytes32 instance, address delegate, bool allowed) external {
        if (delegate == address(0)) revert ZeroId();
        delegates[msg.sender][instance][delegate] = allowed;
        emit DelegateSet(msg.sender, instance, delegate, allowed);
    }

    function setParticipant(bytes32 instance, address participant, bool allowed) external {
        if (participant == address(0)) revert ZeroId();
        participants[msg.sender][instance][participant] = allowed;
        emit ParticipantSet(msg.sender, instance, participant, allowed);
    }

    function requestTransition(address issuer, bytes32 instance, uint64 sequence, bytes calldata payload) external {
        if (!isParticipant(issuer, instance, msg.sender)) revert NotParticipant(msg.sender);
        if (sequence >= openCount(instances[issuer][instance], instance)) revert NoSuchState(sequence);
        if (payload.length > MAX_PAYLOAD) revert TooLong(MAX_PAYLOAD);
        emit TransitionRequested(issuer, instance, msg.sender, sequence, payload);
    }

    // ---- certificates ----

    function bindCertificate(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter,
        bytes calldata signature
    ) external {
        if (fingerprint == 0) revert ZeroId();
        if (certificates[subject][fingerprint].boundAtBlock != 0) revert AlreadyRegistered(fingerprint);
        if (notBefore >= notAfter) revert BadValidity();
        if (bytes(uri).length > MAX_URI) revert TooLong(MAX_URI);
        if (!isHttpsUri(bytes(uri))) revert BadUri();
        bytes32 digest = CertificateSignature.digest(subject, fingerprint, uri, notBefore, notAfter);
        if (!CertificateSignature.isSignedBy(digest, signature, subject)) revert BadSignature();

        certificates[subject][fingerprint] = Certificate(uint64(block.number), 0, notBefore, notAfter);
        emit CertificateBound(subject, fingerprint, uri, notBefore, notAfter, signature);
    }

    function revokeCertificate(bytes32 fingerprint) external {
        Certificate storage certificate = certificates[msg.sender][fingerprint];
        if (certificate.boundAtBlock == 0) revert UnknownCertificate(fingerprint);
        if (certificate.revokedAtBlock != 0) revert AlreadyRevoked(fingerprint);
        certificate.revokedAtBlock = uint64(block.number);
        emit CertificateRevoked(msg.sender, fingerprint);
    }

    // ---- views ----

    function instanceOf(address issuer, bytes32 instance)
        external
        view
        returns (bytes32 model, bytes32 head, uint64 count, uint64 ordinal, Outcome outcome, uint64 registeredAtBlock)
    {
        Instance storage it = instances[issuer][instance];
        return (it.model, it.head, it.count, it.ordinal, it.outcome, it.registeredAtBlock);
    }

    function issuerChain(address issuer) external view returns (uint64 count, bytes32 head) {
        IssuerChain storage chain = issuers[issuer];
        return (chain.count, chain.head);
    }

    function certificateOf(address subject, bytes32 fingerprint)
        external
        view
        returns (uint64 boundAtBlock, uint64 revokedAtBlock, uint64 notBefore, uint64 notAfter)
    {
        Certificate storage it = certificates[subject][fingerprint];
        return (it.boundAtBlock, it.revokedAtBlock, it.notBefore, it.notAfter);
    }

    function isDelegate(address issuer, bytes32 instance, address who) public view returns (bool) {
        return delegates[issuer][instance][who] || delegates[issuer][ALL][who];
    }

    function isParticipant(address issuer, bytes32 instance, address who) public view returns (bool) {
        return participants[issuer][instance][who] || participants[issuer][ALL][who];
    }

    function domainSeparator() external view returns (bytes32) {
        return CertificateSignature.domainSeparator();
    }

    function certificateDigest(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter
    ) external view returns (bytes32) {
        return CertificateSignature.digest(subject, fingerprint, uri, notBefore, notAfter);
    }

    // ---- what writing requires ----

    /// The instance, if the caller may write to it, it is not sealed, and `count` is its count.
    function openInstance(address issuer, bytes32 instance, uint64 count) private view returns (Instance storage it) {
        if (msg.sender != issuer && !isDelegate(issuer, instance, msg.sender)) revert NotAuthorised(msg.sender);
        it = instances[issuer][instance];
        uint64 expected = openCount(it, instance);
        if (expected != count) revert SequenceMismatch(expected, count);
    }

    /// The count of an instance that is there and not sealed.
    function openCount(Instance storage it, bytes32 instance) private view returns (uint64) {
        if (it.registeredAtBlock == 0) revert UnknownInstance(instance);
        if (it.outcome != Outcome.None) revert AlreadyTerminated(instance);
        return it.count;
    }

    /// Visible ASCII only, as in any URI (RFC 3986), so that no reader of the event meets a byte it cannot store or
    /// show.
    function isHttpsUri(bytes calldata uri) private pure returns (bool) {
        if (uri.length <= 8 || keccak256(uri[:8]) != keccak256("https://")) return false;
        for (uint256 i = 8; i < uri.length; ++i) {
            if (uri[i] < 0x21 || uri[i] > 0x7e) return false;
        }
        return true;
    }
}
