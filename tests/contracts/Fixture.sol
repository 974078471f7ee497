// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {
    DeviceState,
    ISensorRegistry,
    Profile,
    Rejection,
    SignedBatch
} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Vm} from "./Vm.sol";

/// @notice A registry with one profile and one device, and what a device and a gateway do.
abstract contract Fixture {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Where the compiler puts `SensorRegistry._states` and the two counts; `test_slots` would notice a change.
    uint256 internal constant STATES_SLOT = 3;
    uint256 internal constant COUNTS_SLOT = 6;

    uint256 internal constant DEVICE_KEY = uint256(keccak256("a device of these tests"));
    uint256 internal constant NOW = 1_790_000_000;
    uint256 internal constant OTHER_KEY = uint256(keccak256("another key"));
    address internal constant GATEWAY = address(0x6A7E);
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
    uint8 internal constant TIMED = 1;
    uint8 internal constant REGULAR = 2;
    uint8 internal constant DELTA = 3;
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

    /// @dev 20.00 degC and 50.00 %RH, then 90.00 degC: temperature out of range (4), too large a step (16).
    function twoReadings() internal pure returns (bytes memory) {
        return abi.encodePacked(int16(2000), uint16(5000), int16(9000), uint16(5000));
    }

    /// @dev What a new device may send at once: two readings of now and 30 seconds later.
    function goodHeader(address who) internal pure returns (uint256) {
        return pack(who, uint32(NOW), 30, 0, 2, REGULAR);
    }

    function submit(SignedBatch memory batch) internal returns (Rejection rejection, uint256 illegal) {
        return registry.submitBatch(batch.header, batch.payload);
    }

    function sign(uint256 key, uint256 header, bytes memory data) internal view returns (SignedBatch memory) {
        return signFor(key, header, data, block.chainid, address(registry));
    }

    function signFor(
        uint256 key,
        uint256 header,
        bytes memory data,
        uint256 chainId,
        address verifyingContract
    ) internal pure returns (SignedBatch memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(header, data, chainId, verifyingContract));
        return SignedBatch(header, bytes.concat(data, r, bytes32(uint256(s) | (uint256(v - 27) << 255))));
    }

    function signP256(uint256 key, uint256 header, bytes memory data) internal view returns (SignedBatch memory) {
        return signP256For(key, header, data, block.chainid, address(registry));
    }

    function signP256For(
        uint256 key,
        uint256 header,
        bytes memory data,
        uint256 chainId,
        address verifyingContract
    ) internal pure returns (SignedBatch memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, digestOf(header, data, chainId, verifyingContract));
        if (uint256(s) > P256_ORDER / 2) s = bytes32(P256_ORDER - uint256(s));
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return SignedBatch(header, bytes.concat(data, r, s, bytes32(x), bytes32(y)));
    }

    function p256Device(uint256 key) internal pure returns (address) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return address(uint160(uint256(keccak256(bytes.concat(bytes32(x), bytes32(y))))));
    }

    /// @dev Submits, and expects one event, the rejection, and nothing else.
    function rejects(SignedBatch memory batch, Rejection reason) internal {
        address named = address(uint160(batch.header >> 96));
        bytes32 before = slotOf(named);
        bytes memory digested = batch.payload;
        if (reason != Rejection.Malformed) digested = firstBytes(digested, lengthOf(batch.header));
        vm.recordLogs();
        vm.prank(GATEWAY);
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, reason);
        assertEq(illegal, 0, "illegal");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "logs");
        assertRejected(logs[0], named, reason, GATEWAY, batch.header, keccak256(digested));
        assertEq(slotOf(named), before, "slot");
    }

    function assertRejected(
        Vm.Log memory log,
        address named,
        Rejection reason,
        address sender,
        uint256 header,
        bytes32 dataDigest
    ) internal view {
        require(log.emitter == address(registry), "emitter");
        assertEq(log.topics.length, 3, "topics");
        assertEq(log.topics[0], ISensorRegistry.Rejected.selector, "Rejected");
        assertEq(log.topics[1], bytes32(uint256(uint160(named))), "device");
        assertEq(uint256(log.topics[2]), uint256(reason), "reason");
        assertEq(log.data, abi.encode(sender, header, dataDigest), "sender, header, digest");
    }

    /// @dev The event that is emitted by hand, byte for byte as Solidity would.
    function assertAccepted(Vm.Log memory log, SignedBatch memory batch, bytes memory exceptions) internal view {
        require(log.emitter == address(registry), "emitter");
        assertEq(log.topics.length, 2, "topics");
        assertEq(log.topics[0], ISensorRegistry.BatchAccepted.selector, "BatchAccepted");
        assertEq(log.topics[1], bytes32(batch.header >> 96), "device");
        assertEq(log.data, abi.encode(batch.header, batch.payload, exceptions), "header, payload, exceptions");
    }

    /// @dev How many bytes the readings take by the header, whether it is a possible one or not.
    function lengthOf(uint256 header) internal pure returns (uint256) {
        uint256 count = uint16(header >> 8);
        if (uint8(header) == DELTA) return 2 * count + 2;
        return (uint8(header) == TIMED ? 6 : 4) * count;
    }

    function firstBytes(bytes memory text, uint256 length) internal pure returns (bytes memory part) {
        part = bytes.concat(text);
        require(length <= part.length, "not so long");
        assembly ("memory-safe") {
            mstore(part, length)
        }
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

    function headAfter(bytes20 before, uint256 header, bytes memory data) internal pure returns (bytes20) {
        return bytes20(keccak256(bytes.concat(before, bytes32(header), keccak256(data))));
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
