// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// A contract wallet that answers as it is told to.
contract Wallet {
    bytes32 private immutable APPROVED;
    bytes4 private immutable ANSWER;

    constructor(bytes32 approved, bytes4 answer) {
        APPROVED = approved;
        ANSWER = answer;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        require(APPROVED == 0 || digest == APPROVED, "not approved");
        return ANSWER;
    }
}
