// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IInstanceRegistry} from "./IInstanceRegistry.sol";
import {TypedData} from "./TypedData.sol";

/// @title Whose a call is: the sender's, or, relayed, that of the account which signed it
abstract contract Calls is IInstanceRegistry {
    mapping(address account => uint256) public nonceOf;

    /// The account whose relayed call is being made; zero outside of `relay`.
    address private transient relayedFor;

    function relay(address account, bytes calldata call, uint256 nonce, uint64 deadline, bytes calldata signature)
        external
        returns (bytes memory result)
    {
        // Whoever proposes a block can shift its time by seconds: a deadline is no finer than that.
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > deadline) revert Expired(deadline);
        if (nonce != nonceOf[account]) revert NonceMismatch(nonceOf[account], nonce);
        bytes32 digest = TypedData.relayDigest(account, call, nonce, deadline);
        if (!TypedData.isSignedBy(digest, signature, account)) revert BadSignature();
        nonceOf[account] = nonce + 1;

        address outer = relayedFor;
        relayedFor = account;
        bool ok;
        (ok, result) = address(this).call(call);
        if (!ok) bubble(result);
        relayedFor = outer;
    }

    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory result) = address(this).delegatecall(calls[i]);
            if (!ok) bubble(result);
            results[i] = result;
        }
    }

    function relayDigest(address account, bytes calldata call, uint256 nonce, uint64 deadline)
        external
        view
        returns (bytes32)
    {
        return TypedData.relayDigest(account, call, nonce, deadline);
    }

    function domainSeparator() external view returns (bytes32) {
        return TypedData.domainSeparator();
    }

    /// Whose this call is: nothing in the registry asks for msg.sender but this. The registry calls itself in `relay` only.
    function caller() internal view returns (address) {
        return msg.sender == address(this) ? relayedFor : msg.sender;
    }

    /// Reverts with the error with which a call to the registry itself reverted.
    function bubble(bytes memory error_) private pure {
        assembly ("memory-safe") {
            revert(add(error_, 0x20), mload(error_))
        }
    }
}
