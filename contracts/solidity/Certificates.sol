// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Calls} from "./Calls.sol";
import {Instances} from "./Instances.sol";
import {TypedData} from "./TypedData.sol";

/// @title Which certificates an account vouches for, from which block to which
abstract contract Certificates is Instances, Calls {
    struct Certificate {
        uint64 boundAtBlock;
        uint64 revokedFromBlock;
        uint64 notBefore;
        uint64 notAfter;
    }

    uint256 private constant MAX_URI = 256;

    /// Under fingerprint 0 lies the revocation of all of a subject's certificates.
    mapping(address subject => mapping(bytes32 fingerprint => Certificate)) private certificates;
    mapping(address subject => address) public guardianOf;

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
        if (certificates[subject][ALL].revokedFromBlock != 0) revert AlreadyRevoked(ALL);
        if (notBefore >= notAfter) revert BadValidity();
        if (bytes(uri).length > MAX_URI) revert TooLong(MAX_URI);
        if (!isHttpsUri(bytes(uri))) revert BadUri();
        bytes32 digest = TypedData.certificateDigest(subject, fingerprint, uri, notBefore, notAfter);
        if (!TypedData.isSignedBy(digest, signature, subject)) revert BadSignature();

        certificates[subject][fingerprint] = Certificate(uint64(block.number), 0, notBefore, notAfter);
        emit CertificateBound(subject, fingerprint, uri, notBefore, notAfter, signature);
    }

    function revokeCertificate(address subject, bytes32 fingerprint, uint64 compromisedSinceBlock) external {
        address by = caller();
        if (by != subject && by != guardianOf[subject]) revert NotAuthorised(by);
        Certificate storage it = certificates[subject][fingerprint];
        if (fingerprint != ALL && it.boundAtBlock == 0) revert UnknownCertificate(fingerprint);
        uint64 fromBlock = compromisedSinceBlock == 0 ? uint64(block.number) : compromisedSinceBlock;
        if (fromBlock > block.number) revert BlockInFuture(fromBlock);
        if (it.revokedFromBlock != 0 && it.revokedFromBlock <= fromBlock) revert AlreadyRevoked(fingerprint);
        it.revokedFromBlock = fromBlock;
        emit CertificateRevoked(subject, fingerprint, by, fromBlock);
    }

    function setGuardian(address subject, address guardian) external {
        address current = guardianOf[subject];
        address by = caller();
        if (by != (current == address(0) ? subject : current)) revert NotAuthorised(by);
        guardianOf[subject] = guardian;
        emit GuardianSet(subject, guardian);
    }

    function certificateOf(address subject, bytes32 fingerprint)
        public
        view
        returns (uint64 boundAtBlock, uint64 revokedFromBlock, uint64 notBefore, uint64 notAfter)
    {
        Certificate memory it = certificates[subject][fingerprint];
        uint64 allFromBlock = certificates[subject][ALL].revokedFromBlock;
        bool allEarlier = allFromBlock != 0 && (it.revokedFromBlock == 0 || allFromBlock < it.revokedFromBlock);
        return (it.boundAtBlock, allEarlier ? allFromBlock : it.revokedFromBlock, it.notBefore, it.notAfter);
    }

    function isCertificateTrusted(address subject, bytes32 fingerprint) external view returns (bool) {
        return wasCertificateTrusted(subject, fingerprint, uint64(block.number), uint64(block.timestamp));
    }

    function wasCertificateTrusted(address subject, bytes32 fingerprint, uint64 blockNumber, uint64 timestamp)
        public
        view
        returns (bool)
    {
        (uint64 boundAtBlock, uint64 revokedFromBlock, uint64 notBefore, uint64 notAfter) =
            certificateOf(subject, fingerprint);
        return boundAtBlock != 0 && boundAtBlock <= blockNumber
            && (revokedFromBlock == 0 || blockNumber < revokedFromBlock) && notBefore <= timestamp
            && timestamp <= notAfter;
    }

    function certificateDigest(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter
    ) external view returns (bytes32) {
        return TypedData.certificateDigest(subject, fingerprint, uri, notBefore, notAfter);
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
