// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {Accounts} from "./Accounts.sol";

/// Binds and revokes certificates, as subject, as guardian and as neither, and keeps every revocation.
contract CertificatesHandler is Accounts {
    struct Ghost {
        uint64 boundAtBlock;
        uint64 notBefore;
        uint64 notAfter;
        /// What each revocation that was taken named, in their order.
        uint64[] revokedFromBlocks;
    }

    uint256 public constant CERTIFICATES = 3;

    /// Under 0 lie the revocations of all of a subject's certificates.
    mapping(address subject => mapping(bytes32 fingerprint => Ghost)) private ghosts;
    mapping(address subject => address) public guardianOf;

    constructor(InstanceRegistry registry) Accounts(registry) {}

    /// 0: all certificates, then each of them.
    function fingerprintAt(uint256 which) public pure returns (bytes32) {
        return bytes32(which % (1 + CERTIFICATES));
    }

    function ghost(address subject, bytes32 fingerprint) external view returns (Ghost memory) {
        return ghosts[subject][fingerprint];
    }

    /// The earliest block that any revocation names; 0 if there is none.
    function revokedFromBlock(address subject, bytes32 fingerprint) public view returns (uint64 earliest) {
        uint64[] memory own = ghosts[subject][fingerprint].revokedFromBlocks;
        uint64[] memory all = ghosts[subject][0].revokedFromBlocks;
        for (uint256 i = 0; i < own.length + all.length; ++i) {
            uint64 named = i < own.length ? own[i] : all[i - own.length];
            if (earliest == 0 || named < earliest) earliest = named;
        }
    }

    function bindCertificate(uint256 who, uint256 which, uint256 signer, uint64 validForSeconds) external {
        (address subject, bytes32 fingerprint) = (accountAt(who), fingerprintAt(1 + which % CERTIFICATES));
        // Mostly the subject itself.
        if (signer % 4 != 0) signer = who;
        uint64 from = uint64(vm.getBlockTimestamp());
        uint64 to = from + validForSeconds % 10_000;
        Ghost storage it = ghosts[subject][fingerprint];
        bool right = it.boundAtBlock == 0 && ghosts[subject][0].revokedFromBlocks.length == 0 && to > from
            && accountAt(signer) == subject;
        bytes memory signature =
            sign(signer, REGISTRY.certificateDigest(subject, fingerprint, "https://site.example", from, to));
        bytes memory call = abi.encodeCall(
            IInstanceRegistry.bindCertificate, (subject, fingerprint, "https://site.example", from, to, signature)
        );
        callAs(who % ACCOUNTS + 1, false, call, right);
        if (right) (it.boundAtBlock, it.notBefore, it.notAfter) = (uint64(vm.getBlockNumber()), from, to);
    }

    function revokeCertificate(uint256 who, uint256 which, uint256 by, uint64 since, bool relayed) external {
        (address subject, bytes32 fingerprint) = (accountAt(who), fingerprintAt(which));
        // Seldom all of them, or no other could be bound.
        if (fingerprint == 0 && since % 8 != 0) fingerprint = fingerprintAt(1);
        uint64 newest = uint64(vm.getBlockNumber());
        // Now and then the very block that is named already.
        since = since % 8 == 1 ? revokedFromBlock(subject, fingerprint) : since % (newest + 2);
        uint64 from = since == 0 ? newest : since;
        Ghost storage it = ghosts[subject][fingerprint];
        bool known = fingerprint == 0 || it.boundAtBlock != 0;
        bool earlier = true;
        for (uint256 i = 0; i < it.revokedFromBlocks.length; ++i) {
            earlier = earlier && from < it.revokedFromBlocks[i];
        }
        bool right = mayRevoke(subject, accountAt(by)) && known && earlier && from <= newest;
        callAs(by, relayed, abi.encodeCall(IInstanceRegistry.revokeCertificate, (subject, fingerprint, since)), right);
        if (right) it.revokedFromBlocks.push(from);
    }

    function setGuardian(uint256 who, uint256 guardian, uint256 by, bool relayed) external {
        address subject = accountAt(who);
        address next = guardian % 4 == 0 ? address(0) : accountAt(guardian);
        bool right = accountAt(by) == (guardianOf[subject] == address(0) ? subject : guardianOf[subject]);
        callAs(by, relayed, abi.encodeCall(IInstanceRegistry.setGuardian, (subject, next)), right);
        if (right) guardianOf[subject] = next;
    }

    function mayRevoke(address subject, address by) private view returns (bool) {
        return by == subject || by == guardianOf[subject];
    }
}
