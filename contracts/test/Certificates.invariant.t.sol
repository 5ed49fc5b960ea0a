// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {CertificatesHandler} from "./CertificatesHandler.sol";
import {InvariantTest} from "./InvariantTest.sol";

/// A certificate is trusted in just the blocks from its binding to the earliest that any revocation names, within its
/// validity.
contract CertificatesInvariantTest is InvariantTest {
    InstanceRegistry private registry;
    CertificatesHandler private handler;

    function setUp() public {
        registry = new InstanceRegistry();
        handler = new CertificatesHandler(registry);
        target(address(handler));
    }

    function invariant_trust_endsWhereTheEarliestRevocationSays() external view {
        for (uint256 who = 0; who < handler.ACCOUNTS(); ++who) {
            address subject = handler.accountAt(who);
            for (uint256 which = 1; which <= handler.CERTIFICATES(); ++which) {
                check(subject, handler.fingerprintAt(which));
            }
            vm.assertEq(uint160(registry.guardianOf(subject)), uint160(handler.guardianOf(subject)));
            vm.assertEq(registry.nonceOf(subject), handler.relayedCallsOf(subject));
        }
    }

    function check(address subject, bytes32 fingerprint) private view {
        CertificatesHandler.Ghost memory it = handler.ghost(subject, fingerprint);
        (uint64 boundAtBlock, uint64 revokedFromBlock, uint64 notBefore, uint64 notAfter) =
            registry.certificateOf(subject, fingerprint);
        vm.assertEq(boundAtBlock, it.boundAtBlock);
        vm.assertEq(notBefore, it.notBefore);
        vm.assertEq(notAfter, it.notAfter);
        uint64 end = handler.revokedFromBlock(subject, fingerprint);
        vm.assertEq(revokedFromBlock, end);
        if (boundAtBlock == 0) return;

        checkAt(subject, fingerprint, boundAtBlock - 1, notBefore, false);
        checkAt(subject, fingerprint, boundAtBlock, notBefore, end == 0 || boundAtBlock < end);
        checkAt(subject, fingerprint, boundAtBlock, notBefore - 1, false);
        checkAt(subject, fingerprint, boundAtBlock, notAfter + 1, false);
        if (end != 0) {
            checkAt(subject, fingerprint, end - 1, notAfter, end - 1 >= boundAtBlock);
            checkAt(subject, fingerprint, end, notAfter, false);
        }
        bool now_ = end == 0 && vm.getBlockTimestamp() <= notAfter;
        vm.assertTrue(registry.isCertificateTrusted(subject, fingerprint) == now_);
    }

    function checkAt(address subject, bytes32 fingerprint, uint64 number, uint64 timestamp, bool trusted) private view {
        vm.assertTrue(registry.wasCertificateTrusted(subject, fingerprint, number, timestamp) == trusted);
    }
}
