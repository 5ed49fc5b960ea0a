// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "../solidity/IInstanceRegistry.sol";
import {InstanceRegistry} from "../solidity/InstanceRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {Wallet} from "./Wallet.sol";

/// Certificates: only what the subject signed, for this chain and contract, once.
contract CertificatesTest is RegistryTest {
    uint256 private constant KEY = 0xc0ffee;
    bytes4 private constant VALID = 0x1626ba7e;
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    string private constant URI = "https://issuer.example";
    bytes32 private immutable PRINT = id("certificate");
    address private immutable SUBJECT = vm.addr(KEY);

    function digestAt(InstanceRegistry at_) private view returns (bytes32) {
        return at_.certificateDigest(SUBJECT, PRINT, URI, 100, 200);
    }

    function signed(bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, digest);
        return abi.encodePacked(r, s, v);
    }

    function bind(bytes memory signature) private {
        registry.bindCertificate(SUBJECT, PRINT, URI, 100, 200, signature);
    }

    function refuse(bytes memory signature) private {
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        bind(signature);
    }

    function test_certificateDigest_isThatOfEip712() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("runproof"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Certificate(address subject,bytes32 fingerprint,string uri,uint64 notBefore,uint64 notAfter)"
                ),
                SUBJECT,
                PRINT,
                keccak256(bytes(URI)),
                100,
                200
            )
        );
        vm.assertEq(registry.domainSeparator(), domain);
        vm.assertEq(digestAt(registry), keccak256(abi.encodePacked(hex"1901", domain, content)));
    }

    function test_bindCertificate_signedBySubject_isTakenFromAnyone() public {
        vm.roll(33);
        bytes memory signature = signed(digestAt(registry));
        vm.expectEmit(address(registry));
        emit IInstanceRegistry.CertificateBound(SUBJECT, PRINT, URI, 100, 200, signature);
        vm.prank(STRANGER);
        bind(signature);
        (uint64 boundAtBlock, uint64 revokedFromBlock, uint64 notBefore, uint64 notAfter) =
            registry.certificateOf(SUBJECT, PRINT);
        vm.assertEq(boundAtBlock, 33);
        vm.assertEq(revokedFromBlock, 0);
        vm.assertEq(notBefore, 100);
        vm.assertEq(notAfter, 200);
    }

    function testFuzz_bindCertificate_signedByAnother_reverts(uint128 key) public {
        vm.assume(key != 0 && key != KEY);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestAt(registry));
        refuse(abi.encodePacked(r, s, v));
    }

    function testFuzz_bindCertificate_anyBytes_reverts(bytes calldata signature) public {
        refuse(signature);
    }

    function test_bindCertificate_signedForAnotherChain_reverts() public {
        vm.chainId(11155111);
        bytes memory signature = signed(digestAt(registry));
        vm.chainId(1);
        refuse(signature);
    }

    function test_bindCertificate_signedForAnotherContract_reverts() public {
        refuse(signed(digestAt(new InstanceRegistry())));
    }

    function test_bindCertificate_withAnotherContent_reverts() public {
        bytes memory signature = signed(digestAt(registry));
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(SUBJECT, PRINT, "https://other.example", 100, 200, signature);
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(SUBJECT, PRINT, URI, 99, 200, signature);
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(SUBJECT, PRINT, URI, 100, 201, signature);
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(SUBJECT, id("other"), URI, 100, 200, signature);
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(STRANGER, PRINT, URI, 100, 200, signature);
    }

    function test_bindCertificate_withTheHigherS_reverts() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, digestAt(registry));
        refuse(abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? 28 : 27));
    }

    function test_bindCertificate_ofTheZeroAddress_reverts() public {
        // ecrecover answers zero to a signature that is none.
        vm.expectRevert(IInstanceRegistry.BadSignature.selector);
        registry.bindCertificate(address(0), PRINT, URI, 100, 200, new bytes(65));
    }

    function test_bindCertificate_twice_reverts() public {
        bytes memory signature = signed(digestAt(registry));
        bind(signature);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, PRINT);
        bind(signature);
    }

    function test_bindCertificate_afterRevocation_reverts() public {
        bytes memory signature = signed(digestAt(registry));
        bind(signature);
        vm.prank(SUBJECT);
        registry.revokeCertificate(SUBJECT, PRINT, 0);
        expectError(IInstanceRegistry.AlreadyRegistered.selector, PRINT);
        bind(signature);
    }

    function test_bindCertificate_byContractWallet_followsItsAnswer() public {
        bytes32 digest = digestAt(registry);
        vm.etch(SUBJECT, address(new Wallet(digest, VALID)).code);
        bind("whatever the wallet takes");
        (uint64 boundAtBlock,,,) = registry.certificateOf(SUBJECT, PRINT);
        vm.assertTrue(boundAtBlock != 0);
    }

    function test_bindCertificate_refusedByContractWallet_reverts() public {
        vm.etch(SUBJECT, address(new Wallet(id("another digest"), VALID)).code);
        refuse("reverts");
        vm.etch(SUBJECT, address(new Wallet(0, 0xffffffff)).code);
        refuse("says no");
        vm.etch(SUBJECT, hex"00");
        refuse("says nothing");
    }

    function test_bindCertificate_byKeyOfAnAccountWithCode_isTaken() public {
        bytes memory signature = signed(digestAt(registry));
        vm.etch(SUBJECT, hex"00"); // as under EIP-7702
        bind(signature);
    }

    function test_bindCertificate_badValidity_reverts() public {
        for (uint64 notAfter = 99; notAfter <= 100; ++notAfter) {
            vm.expectRevert(IInstanceRegistry.BadValidity.selector);
            registry.bindCertificate(SUBJECT, PRINT, URI, 100, notAfter, "");
        }
    }

    function test_bindCertificate_badUri_reverts() public {
        string[7] memory uris = [
            "",
            "https://",
            "http://issuer.example",
            "HTTPS://issuer.example",
            "https://a b",
            "https://a\x00",
            "https://a\xff"
        ];
        for (uint256 i = 0; i < uris.length; ++i) {
            vm.expectRevert(IInstanceRegistry.BadUri.selector);
            registry.bindCertificate(SUBJECT, PRINT, uris[i], 100, 200, "");
        }
    }

    function test_bindCertificate_longUri_reverts() public {
        expectError(IInstanceRegistry.TooLong.selector, bytes32(uint256(256)));
        registry.bindCertificate(SUBJECT, PRINT, string(new bytes(257)), 100, 200, "");
    }

    function test_bindCertificate_zeroFingerprint_reverts() public {
        vm.expectRevert(IInstanceRegistry.ZeroId.selector);
        registry.bindCertificate(SUBJECT, 0, URI, 100, 200, "");
    }
}
