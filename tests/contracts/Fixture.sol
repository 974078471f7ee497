// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {DeviceState, Profile, Rejection} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Vm} from "./Vm.sol";

/// @notice A registry with one profile and one device, and what a device and a gateway do.
abstract contract Fixture {
    struct Signed {
        uint256 header;
        bytes32 r;
        bytes32 vs;
        bytes data;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Where the compiler puts `SensorRegistry._states` and the two counts; `test_slots` would notice a change.
    uint256 internal constant STATES_SLOT = 3;
    uint256 internal constant COUNTS_SLOT = 6;

    uint256 internal constant DEVICE_KEY = uint256(keccak256("a device of these tests"));
    uint256 internal constant NOW = 1_790_000_000;
    bytes32 internal constant IDENTITY = keccak256("make, model, serial number, calibration");

    SensorRegistry internal registry;
    address internal device;

    function setUp() public virtual {
        vm.warp(NOW);
        device = vm.addr(DEVICE_KEY);
        registry = new SensorRegistry(1 days, address(this));
        registry.addProfile(room());
        registry.registerDevice(device, 1, IDENTITY);
    }

    function room() internal pure returns (Profile memory) {
        return Profile(0, 5000, 100, 500, 9800, 500, 60);
    }

    function submit(Signed memory batch) internal returns (Rejection rejection, uint256 illegal) {
        return registry.submitBatch(batch.header, batch.r, batch.vs, batch.data);
    }

    function sign(uint256 key, uint256 header, bytes memory data) internal view returns (Signed memory) {
        return signFor(key, header, data, block.chainid, address(registry));
    }

    function signFor(
        uint256 key,
        uint256 header,
        bytes memory data,
        uint256 chainId,
        address verifyingContract
    ) internal pure returns (Signed memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(header, data, chainId, verifyingContract));
        return Signed(header, r, bytes32(uint256(s) | (uint256(v - 27) << 255)), data);
    }

    /// @dev EIP-712 by the book, nothing shared with the contract.
    function digestOf(
        uint256 header,
        bytes memory data,
        uint256 chainId,
        address verifyingContract
    ) internal pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Sensetrail"),
                keccak256("1"),
                chainId,
                verifyingContract
            )
        );
        bytes32 message = keccak256(abi.encode(keccak256("Batch(uint256 header,bytes data)"), header, keccak256(data)));
        return keccak256(bytes.concat(hex"1901", domain, message));
    }

    function pack(
        address who,
        uint32 start,
        uint16 period,
        uint24 sequence,
        uint16 count,
        uint8 format
    ) internal pure returns (uint256) {
        return uint256(bytes32(abi.encodePacked(who, start, period, sequence, count, format)));
    }

    function slotOf(address who) internal view returns (bytes32) {
        return vm.load(address(registry), stateSlot(who));
    }

    function setSlotOf(address who, bytes32 word) internal {
        vm.store(address(registry), stateSlot(who), word);
    }

    function stateSlot(address who) internal pure returns (bytes32) {
        return keccak256(abi.encode(who, STATES_SLOT));
    }

    /// @dev The storage slot as the interface documents it, lowest bits first.
    function packState(DeviceState memory state) internal pure returns (bytes32) {
        return
            bytes32(
                abi.encodePacked(
                    state.head,
                    state.lastTime,
                    state.sequence,
                    state.temperature,
                    state.humidity,
                    state.profile
                )
            );
    }

    function headAfter(bytes20 head, uint256 header, bytes memory data) internal pure returns (bytes20) {
        return bytes20(keccak256(bytes.concat(head, bytes32(header), keccak256(data))));
    }

    function assertEq(Rejection actual, Rejection expected) internal pure {
        assertEq(uint256(actual), uint256(expected), "rejection");
    }

    function assertEq(uint256 actual, uint256 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, ": ", vm.toString(actual), ", not ", vm.toString(expected)));
    }

    function assertEq(bytes32 actual, bytes32 expected, string memory what) internal pure {
        require(actual == expected, string.concat(what, ": ", vm.toString(actual), ", not ", vm.toString(expected)));
    }

    function assertEq(bytes memory actual, bytes memory expected, string memory what) internal pure {
        require(
            keccak256(actual) == keccak256(expected),
            string.concat(what, ": ", vm.toString(actual), ", not ", vm.toString(expected))
        );
    }
}
