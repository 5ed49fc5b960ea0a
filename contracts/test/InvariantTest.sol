// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "./Test.sol";

/// What holds whatever a handler does, in whatever order.
abstract contract InvariantTest is Test {
    address[] private targets;

    function target(address handler) internal {
        targets.push(handler);
    }

    /// forge asks which contracts to call.
    function targetContracts() external view returns (address[] memory) {
        return targets;
    }
}
