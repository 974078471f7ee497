// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, Profile} from "../../contracts/interfaces/ISensorRegistry.sol";
import {PlainJudge} from "./PlainJudge.sol";

/// @notice The plain judge at an address, for the differential fuzz (tests/differential).
contract PlainJudgeCaller {
    function judge(
        uint256 header,
        bytes calldata data,
        DeviceState calldata state,
        Profile calldata rules,
        uint256 blockTime
    ) external pure returns (bytes memory exceptions, DeviceState memory next) {
        return PlainJudge.judgeBatch(header, data, state, rules, blockTime);
    }
}
