// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// A contract wallet's own judgement of a signature (ERC-1271).
interface IERC1271 {
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4);
}

/// @title What accounts sign (EIP-712), in the domain of one chain and one contract, and whether they did
library TypedData {
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant CERTIFICATE_TYPE =
        keccak256("Certificate(address subject,bytes32 fingerprint,string uri,uint64 notBefore,uint64 notAfter)");
    bytes32 private constant RELAY_TYPE = keccak256("Relay(address account,bytes call,uint256 nonce,uint64 deadline)");
    bytes32 private constant NAME = keccak256("runproof");
    bytes32 private constant VERSION = keccak256("1");

    /// Half the order of secp256k1: EIP-2 takes only the lower of the two s of a signature.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// Computed at each use, so that it names the right chain after a fork.
    function domainSeparator() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, block.chainid, address(this)));
    }

    /// The digest of a certificate.
    function certificateDigest(
        address subject,
        bytes32 fingerprint,
        string calldata uri,
        uint64 notBefore,
        uint64 notAfter
    ) internal view returns (bytes32) {
        return digest(
            keccak256(abi.encode(CERTIFICATE_TYPE, subject, fingerprint, keccak256(bytes(uri)), notBefore, notAfter))
        );
    }

    /// The digest of a call that another may submit.
    function relayDigest(address account, bytes calldata call, uint256 nonce, uint64 deadline)
        internal
        view
        returns (bytes32)
    {
        return digest(keccak256(abi.encode(RELAY_TYPE, account, keccak256(call), nonce, deadline)));
    }

    function digest(bytes32 content) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), content));
    }

    /// Whether `account` signed: by its key, or, if it is a contract, by its own judgement.
    /// @dev The key comes first: an account that delegates to code (EIP-7702) still has one.
    function isSignedBy(bytes32 digest_, bytes calldata signature, address account) internal view returns (bool) {
        if (account == address(0)) return false;
        if (signature.length == 65 && recover(digest_, signature) == account) return true;
        if (account.code.length == 0) return false;
        (bool ok, bytes memory answer) =
            account.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest_, signature)));
        return ok && answer.length == 32 && abi.decode(answer, (bytes32)) == bytes32(IERC1271.isValidSignature.selector);
    }

    /// The signer of r || s || v, or zero.
    function recover(bytes32 digest_, bytes calldata signature) private pure returns (address) {
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > HALF_ORDER) return address(0);
        return ecrecover(digest_, uint8(signature[64]), bytes32(signature[:32]), s);
    }
}
