// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";

/// The end of trust in a certificate: now or since a block, one or all, by its subject or the guardian.
contract RevocationTest is RegistryTest {
    uint256 private constant KEY = 0xc0ffee;
    address private constant GUARDIAN = address(0x6a4d);
    uint64 private constant BOUND_AT = 40;
    bytes32 private immutable PRINT = id("certificate");
    bytes32 private immutable NEXT = id("the next certificate");
    address private immutable SUBJECT = vm.addr(KEY);

    function setUp() public override {
        super.setUp();
        vm.roll(BOUND_AT);
        vm.warp(1_500);
        bind(PRINT);
    }

    function bind(bytes32 fingerprint) private {
        bytes32 digest = registry.certificateDigest(SUBJECT, fingerprint, "https://issuer.example", 1_000, 2_000);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, digest);
        registry.bindCertificate(
            SUBJECT, fingerprint, "https://issuer.example", 1_000, 2_000, abi.encodePacked(r, s, v)
        );
    }

    function revoke(address by, bytes32 fingerprint, uint64 since) private {
        vm.prank(by);
        registry.revokeCertificate(SUBJECT, fingerprint, since);
    }

    function guard(address by, address guardian) private {
        vm.prank(by);
        registry.setGuardian(SUBJECT, guardian);
    }

    function revokedFrom(bytes32 fingerprint) private view returns (uint64 fromBlock) {
        (, fromBlock,,) = registry.certificateOf(SUBJECT, fingerprint);
    }

    function trusted(bytes32 fingerprint, uint64 blockNumber) private view returns (bool) {
        return registry.wasCertificateTrusted(SUBJECT, fingerprint, blockNumber, 1_500);
    }

    function test_revokeCertificate_now_endsTrustFromThisBlockOn() public {
        vm.roll(55);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.CertificateRevoked(SUBJECT, PRINT, SUBJECT, 55);
        revoke(SUBJECT, PRINT, 0);
        (uint64 boundAtBlock, uint64 revokedFromBlock,,) = registry.certificateOf(SUBJECT, PRINT);
        vm.assertEq(boundAtBlock, BOUND_AT);
        vm.assertEq(revokedFromBlock, 55);
        vm.assertTrue(trusted(PRINT, 54));
        vm.assertFalse(trusted(PRINT, 55));
        vm.assertFalse(registry.isCertificateTrusted(SUBJECT, PRINT));
    }

    function test_revokeCertificate_compromisedSince_endsTrustThen() public {
        vm.roll(90);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.CertificateRevoked(SUBJECT, PRINT, SUBJECT, 60);
        revoke(SUBJECT, PRINT, 60);
        vm.assertTrue(trusted(PRINT, 59));
        vm.assertFalse(trusted(PRINT, 60));
    }

    function test_revokeCertificate_withAnEarlierBlock_isTakenAndNoLaterOne() public {
        vm.roll(90);
        revoke(SUBJECT, PRINT, 80);
        revoke(SUBJECT, PRINT, 60);
        for (uint64 since = 60; since <= 61; ++since) {
            vm.prank(SUBJECT);
            expectError(IInstanceRegistry.AlreadyRevoked.selector, PRINT);
            registry.revokeCertificate(SUBJECT, PRINT, since);
        }
        vm.assertEq(revokedFrom(PRINT), 60);
    }

    function test_revokeCertificate_inFuture_reverts() public {
        vm.prank(SUBJECT);
        expectError(IInstanceRegistry.BlockInFuture.selector, bytes32(uint256(BOUND_AT + 1)));
        registry.revokeCertificate(SUBJECT, PRINT, BOUND_AT + 1);
    }

    function test_revokeCertificate_unknown_reverts() public {
        vm.prank(SUBJECT);
        expectError(IInstanceRegistry.UnknownCertificate.selector, NEXT);
        registry.revokeCertificate(SUBJECT, NEXT, 0);
    }

    function test_revokeCertificate_byAnother_reverts() public {
        vm.prank(STRANGER);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        registry.revokeCertificate(SUBJECT, PRINT, 0);
    }

    function test_revokeCertificate_overlapping_leavesTheOtherTrusted() public {
        bind(NEXT);
        vm.assertTrue(registry.isCertificateTrusted(SUBJECT, PRINT));
        vm.assertTrue(registry.isCertificateTrusted(SUBJECT, NEXT));
        revoke(SUBJECT, PRINT, 0);
        vm.assertFalse(registry.isCertificateTrusted(SUBJECT, PRINT));
        vm.assertTrue(registry.isCertificateTrusted(SUBJECT, NEXT));
    }

    function test_revokeCertificate_all_endsTrustInEachAndAnyBinding() public {
        bind(NEXT);
        vm.roll(90);
        revoke(SUBJECT, NEXT, 50);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.CertificateRevoked(SUBJECT, 0, SUBJECT, 70);
        revoke(SUBJECT, 0, 70);
        vm.assertEq(revokedFrom(PRINT), 70);
        vm.assertEq(revokedFrom(NEXT), 50);
        revoke(SUBJECT, 0, 45);
        vm.assertEq(revokedFrom(NEXT), 45);

        bytes32 digest = registry.certificateDigest(SUBJECT, id("a thief's"), "https://thief.example", 1, 2);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, digest);
        expectError(IInstanceRegistry.AlreadyRevoked.selector, 0);
        registry.bindCertificate(SUBJECT, id("a thief's"), "https://thief.example", 1, 2, abi.encodePacked(r, s, v));
    }

    function test_wasCertificateTrusted_outsideValidityOrBeforeBinding_isFalse() public view {
        vm.assertFalse(registry.wasCertificateTrusted(SUBJECT, PRINT, BOUND_AT - 1, 1_500));
        vm.assertFalse(registry.wasCertificateTrusted(SUBJECT, PRINT, BOUND_AT, 999));
        vm.assertTrue(registry.wasCertificateTrusted(SUBJECT, PRINT, BOUND_AT, 1_000));
        vm.assertTrue(registry.wasCertificateTrusted(SUBJECT, PRINT, BOUND_AT, 2_000));
        vm.assertFalse(registry.wasCertificateTrusted(SUBJECT, PRINT, BOUND_AT, 2_001));
        vm.assertFalse(registry.wasCertificateTrusted(SUBJECT, NEXT, BOUND_AT, 1_500));
    }

    /// Trust only ever shrinks, whatever is revoked in whatever order.
    function testFuzz_revokeCertificate_anyTwice_trustOnlyShrinks(uint64 first, uint64 second, bool all, uint64 at_)
        public
    {
        vm.roll(1_000);
        (first, second, at_) = (first % 1_000, second % 1_000, at_ % 1_100);
        revoke(SUBJECT, PRINT, first);
        bool before = trusted(PRINT, at_);
        vm.prank(SUBJECT);
        try registry.revokeCertificate(SUBJECT, all ? bytes32(0) : PRINT, second) {} catch {}
        vm.assertTrue(before || !trusted(PRINT, at_));
    }

    function test_setGuardian_bySubject_letsItRevoke() public {
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.GuardianSet(SUBJECT, GUARDIAN);
        guard(SUBJECT, GUARDIAN);
        vm.assertTrue(registry.guardianOf(SUBJECT) == GUARDIAN);
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.CertificateRevoked(SUBJECT, PRINT, GUARDIAN, BOUND_AT);
        revoke(GUARDIAN, PRINT, 0);
    }

    function test_setGuardian_bySubjectAgain_reverts() public {
        guard(SUBJECT, GUARDIAN);
        for (uint160 other = 0; other < 2; ++other) {
            expectError(IInstanceRegistry.NotAuthorised.selector, word(SUBJECT));
            guard(SUBJECT, address(other));
        }
    }

    function test_setGuardian_byGuardian_handsOverAndResigns() public {
        guard(SUBJECT, GUARDIAN);
        guard(GUARDIAN, STRANGER);
        vm.prank(GUARDIAN);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(GUARDIAN));
        registry.revokeCertificate(SUBJECT, PRINT, 0);
        guard(STRANGER, address(0));
        guard(SUBJECT, GUARDIAN);
    }

    function test_setGuardian_byStranger_reverts() public {
        expectError(IInstanceRegistry.NotAuthorised.selector, word(STRANGER));
        guard(STRANGER, STRANGER);
    }

    function test_setGuardian_isNoRightToRegister() public {
        vm.prank(ISSUER);
        registry.setGuardian(ISSUER, GUARDIAN);
        expectError(IInstanceRegistry.NotAuthorised.selector, word(GUARDIAN));
        register(GUARDIAN, 0, 1);
    }
}
