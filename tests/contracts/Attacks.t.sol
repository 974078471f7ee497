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
import {Fixture} from "./Fixture.sol";
import {Vm} from "./Vm.sol";

/// @notice What somebody may try, by its name, and that it fails.
contract AttacksTest is Fixture {
    address private constant ATTACKER = address(0xBAD);
    uint256 private constant SECURE_KEY = uint256(keccak256("a secure element's key")) >> 1;

    address private secure;

    function setUp() public override {
        super.setUp();
        secure = p256Device(SECURE_KEY);
        registry.registerDevice(secure, 1, IDENTITY);
    }

    /// @dev From a signature seen in the mempool, another one of the same batch.
    function test_signatureMalleability() public {
        SignedBatch memory batch = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        (uint256 r, uint256 vs) = wordsAt(batch.payload, 8);
        (uint256 s, uint256 parity) = (vs % 2 ** 255, vs >> 255);
        require(s <= ORDER / 2, "the signer gives the lower s");
        // In the compact form, n - s reaches into the parity bit unless it is below 2^255: either way it is refused.
        uint256[4] memory others = [
            (ORDER - s) | ((1 - parity) << 255),
            (ORDER - s) | (parity << 255),
            (ORDER - s) % 2 ** 255,
            vs ^ (1 << 255)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory payload = abi.encodePacked(twoReadings(), r, others[i]);
            rejects(SignedBatch(batch.header, payload), Rejection.WrongSignature);
        }
        // As 65 bytes: r, s, v.
        bytes memory long = abi.encodePacked(twoReadings(), r, s, uint8(27 + parity));
        rejects(SignedBatch(batch.header, long), Rejection.Malformed);

        batch = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        (r, s) = wordsAt(batch.payload, 8);
        (uint256 x, uint256 y) = wordsAt(batch.payload, 72);
        bytes memory high = abi.encodePacked(twoReadings(), r, P256_ORDER - s, x, y);
        rejects(SignedBatch(batch.header, high), Rejection.WrongSignature);
        // The flipped parity of P-256 is the mirrored public key, which is another device's.
        bytes memory flipped = abi.encodePacked(
            twoReadings(),
            r,
            s,
            x,
            0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF - y
        );
        rejects(SignedBatch(batch.header, flipped), Rejection.WrongSignature);
    }

    function test_replay() public {
        SignedBatch memory batch = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        submit(batch);
        rejects(batch, Rejection.WrongSequence);
    }

    function test_replayOnAnotherChain() public {
        SignedBatch memory here = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        SignedBatch memory hereToo = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        vm.chainId(block.chainid + 1);
        // The same contract at the same address, as after a fork of the chain.
        rejects(here, Rejection.WrongSignature);
        rejects(hereToo, Rejection.WrongSignature);
    }

    function test_replayOnAnotherDeployment() public {
        SignedBatch memory here = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        SignedBatch memory hereToo = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        registry = new SensorRegistry(1 days, address(this));
        registry.addProfile(room());
        registry.registerDevice(device, 1, IDENTITY);
        registry.registerDevice(secure, 1, IDENTITY);
        rejects(here, Rejection.WrongSignature);
        rejects(hereToo, Rejection.WrongSignature);
    }

    function test_truncatedData() public {
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            uint256 header = pack(device, uint32(NOW), 1, 0, 4, format);
            bytes memory data = new bytes(lengthOf(header));
            SignedBatch memory batch = sign(DEVICE_KEY, header, data);
            for (uint256 length = 0; length < batch.payload.length; ++length) {
                rejects(SignedBatch(header, firstBytes(batch.payload, length)), Rejection.Malformed);
            }
            // The last reading cut out, whether or not the device signed that.
            data = firstBytes(
                data,
                data.length -
                    (
                        format == TIMED
                            ? 6
                            : format == REGULAR
                                ? 4
                                : 2
                    )
            );
            rejects(sign(DEVICE_KEY, header, data), Rejection.Malformed);
        }
    }

    function test_paddedData() public {
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            uint256 header = pack(device, uint32(NOW), 1, 0, 4, format);
            bytes memory data = new bytes(lengthOf(header));
            SignedBatch memory batch = sign(DEVICE_KEY, header, data);
            for (uint256 more = 1; more <= 130; ++more) {
                bytes memory payload = bytes.concat(batch.payload, new bytes(more));
                // 64 bytes more make a secp256k1 signature as long as one of P-256.
                rejects(SignedBatch(header, payload), more == 64 ? Rejection.WrongSignature : Rejection.Malformed);
                bytes memory signed = sign(DEVICE_KEY, header, bytes.concat(data, new bytes(more))).payload;
                rejects(SignedBatch(header, signed), more == 64 ? Rejection.WrongSignature : Rejection.Malformed);
            }
        }
    }

    /// @dev 128 bytes behind the readings may be 64 of readings and a signature: the length follows from the header alone.
    function test_readingsAsPublicKey() public {
        uint256 header = pack(device, uint32(NOW), 1, 0, 2, REGULAR);
        bytes memory more = bytes.concat(twoReadings(), new bytes(64));
        rejects(sign(DEVICE_KEY, header, more), Rejection.WrongSignature);
        // Signed for the count that the data has, it cannot be sent under the header of fewer.
        SignedBatch memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 1, 0, 18, REGULAR), more);
        rejects(SignedBatch(header, batch.payload), Rejection.WrongSignature);
        (Rejection rejection, ) = submit(batch);
        assertEq(rejection, Rejection.None);
    }

    function test_headerLiesAboutLength() public {
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            bytes memory data = new bytes(lengthOf(pack(device, 0, 0, 0, 50, format)));
            for (uint16 count = 0; count <= 70; ++count) {
                for (uint8 said = TIMED; said <= DELTA; ++said) {
                    uint256 header = pack(device, uint32(NOW), 1, 0, count, said);
                    if (lengthOf(header) == data.length || lengthOf(header) + 64 == data.length) continue;
                    rejects(sign(DEVICE_KEY, header, data), Rejection.Malformed);
                }
            }
            // Lengths that agree with the count only modulo 2^16.
            rejects(
                sign(DEVICE_KEY, pack(device, uint32(NOW), 1, 0, 50, format), new bytes(data.length + 65536)),
                Rejection.Malformed
            );
        }
        bytes memory all = new bytes(4 * 65536);
        rejects(sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 0, 0, REGULAR), all), Rejection.Malformed);
    }

    function test_countZero() public {
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            uint256 header = pack(device, uint32(NOW), 30, 0, 0, format);
            rejects(sign(DEVICE_KEY, header, ""), Rejection.Malformed);
            rejects(sign(DEVICE_KEY, header, new bytes(2)), Rejection.Malformed);
            rejects(sign(DEVICE_KEY, header, twoReadings()), Rejection.Malformed);
            rejects(signP256(SECURE_KEY, pack(secure, uint32(NOW), 30, 0, 0, format), ""), Rejection.Malformed);
        }
    }

    /// @dev A delta batch's values are absolute: whatever was accepted before, they mean the same, and a signed batch
    /// cannot be put behind another history than the device meant.
    function testFuzz_deltaRebasing(int16 temperature, uint16 humidity, uint24 sequence) public {
        bytes memory data = abi.encodePacked(int16(2000), uint16(5000), int8(100), int8(-100), int8(-50), int8(50));
        uint24 meant = 7;
        SignedBatch memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 1, meant, 3, DELTA), data);
        DeviceState memory state = DeviceState(1, humidity, temperature, sequence, 0, bytes20(keccak256("head")));
        setSlotOf(device, packState(state));
        if (sequence != meant) {
            rejects(batch, Rejection.WrongSequence);
            state.sequence = meant;
            setSlotOf(device, packState(state));
        }
        vm.recordLogs();
        (Rejection rejection, ) = submit(batch);
        assertEq(rejection, Rejection.None);
        bytes20 head = headAfter(state.head, batch.header, data);
        assertEq(slotOf(device), packState(DeviceState(1, 4950, 2050, 10, uint32(NOW + 2), head)), "slot");
        // Only the first reading's steps depend on what was before it.
        bool tooWarm = temperature > 2100 || temperature < 1900;
        bool tooWet = humidity > 5500 || humidity < 4500;
        bytes memory exceptions;
        uint8 verdict = (tooWarm ? 16 : 0) + (tooWet ? 32 : 0);
        if (verdict != 0) exceptions = abi.encodePacked(uint16(0), verdict);
        assertAccepted(vm.getRecordedLogs()[0], batch, exceptions);
    }

    function test_deltaRebasing() public {
        testFuzz_deltaRebasing(-(2 ** 15), 2 ** 16 - 1, 8);
    }

    /// @dev A reading that the lanes do not hold, so that the gaps of the word behind it count for nothing.
    function test_futureBehindValuesOutsideTheLanes() public {
        DeviceState memory state = DeviceState(1, 5000, -5000, 1, uint32(NOW - 9), bytes20(keccak256("head")));
        setSlotOf(device, packState(state));
        bytes memory data = abi.encodePacked(
            uint16(9),
            int16(2000),
            uint16(5000),
            uint16(61),
            int16(2000),
            uint16(5000)
        );
        SignedBatch memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW - 9), 0, 1, 2, TIMED), data);
        vm.recordLogs();
        submit(batch);
        // The first: too large a step. The second, 61 seconds from now: in the future, and no device's last time.
        assertAccepted(vm.getRecordedLogs()[0], batch, hex"000010000102");
        assertEq(registry.stateOf(device).lastTime, NOW, "lastTime");
    }

    function test_reRegistrationOfARevokedDevice() public {
        submit(sign(DEVICE_KEY, goodHeader(device), twoReadings()));
        SignedBatch memory batch = sign(DEVICE_KEY, pack(device, uint32(NOW), 30, 2, 2, REGULAR), twoReadings());
        registry.revokeDevice(device, uint32(NOW));
        registry.addProfile(room());
        for (uint8 profile = 1; profile <= 2; ++profile) {
            vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryDeviceExists.selector, device));
            registry.registerDevice(device, profile, IDENTITY);
        }
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryNotActive.selector, device));
        registry.revokeDevice(device, 0);
        assertEq(registry.recordOf(device).untrustedSince, NOW, "untrustedSince");
        rejects(batch, Rejection.RevokedDevice);
        // Registered in the block of time 0, a device would look like one that never was.
        require(registry.recordOf(device).registeredAt != 0, "registeredAt");
    }

    /// @dev All that a registrar can call, and all that the admin can: no reading, head or sequence number moves.
    function testFuzz_registrarCannotEditHistory(Profile memory rules, address another, uint32 since) public {
        vm.assume(another != address(0) && another != device && another != secure);
        submit(sign(DEVICE_KEY, goodHeader(device), twoReadings()));
        bytes32 before = slotOf(device);
        if (rules.temperatureMin <= rules.temperatureMax && rules.humidityMin <= rules.humidityMax) {
            registry.addProfile(rules);
        }
        assertEq(abi.encode(registry.profileOf(1)), abi.encode(room()), "rules");
        uint8 newest = registry.profileCount();
        registry.registerDevice(another, newest, IDENTITY);
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryDeviceExists.selector, device));
        registry.registerDevice(device, newest, 0);
        registry.grantRole(keccak256("REGISTRAR_ROLE"), ATTACKER);
        registry.revokeRole(keccak256("REGISTRAR_ROLE"), ATTACKER);
        assertEq(slotOf(device), before, "slot");
        // Without the device's key, the registrar's batches are forgeries like anybody's.
        vm.recordLogs();
        (Rejection rejection, ) = submit(sign(OTHER_KEY, pack(device, since, 1, 2, 2, REGULAR), twoReadings()));
        assertEq(rejection, Rejection.WrongSignature);
        registry.revokeDevice(device, since);
        assertEq(slotOf(device), before ^ bytes32(uint256(1)), "only the profile changes");
        vm.expectRevert(abi.encodeWithSelector(ISensorRegistry.SensorRegistryNotActive.selector, device));
        registry.revokeDevice(device, 0);
        assertEq(registry.recordOf(device).untrustedSince, since, "untrustedSince");
    }

    /// @dev The registrar may add profiles while a device's batch is on its way: it is judged by its own profile's rules.
    function test_frontRunningByANewProfile() public {
        SignedBatch memory batch = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        registry.addProfile(Profile(9000, 9000, 0, 0, 0, 0, 0));
        vm.recordLogs();
        submit(batch);
        assertAccepted(vm.getRecordedLogs()[0], batch, hex"000114");
    }

    /// @dev A batch that arrives before its device is registered is recorded, and costs the device nothing.
    function test_frontRunningOfARegistration() public {
        address late = vm.addr(OTHER_KEY);
        SignedBatch memory batch = sign(OTHER_KEY, goodHeader(late), twoReadings());
        rejects(batch, Rejection.UnknownDevice);
        // Nobody but the registrar can be faster with another profile or digest.
        vm.expectRevert();
        vm.prank(ATTACKER);
        registry.registerDevice(late, 1, 0);
        vm.prank(ATTACKER, ATTACKER);
        (Rejection rejection, ) = registry.post(0, uint32(NOW), 2000, 5000);
        assertEq(rejection, Rejection.UnknownDevice);
        registry.registerDevice(late, 1, IDENTITY);
        assertEq(slotOf(late), bytes32(uint256(1)), "slot");
        vm.recordLogs();
        (rejection, ) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertAccepted(vm.getRecordedLogs()[0], batch, hex"000114");
    }

    /// @dev Who sends a signed batch first only pays for it: the history is the same.
    function testFuzz_frontRunningOfABatch(address sender) public {
        SignedBatch memory batch = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        vm.prank(sender);
        (Rejection rejection, ) = submit(batch);
        assertEq(rejection, Rejection.None);
        bytes20 head = headAfter(0, batch.header, twoReadings());
        assertEq(slotOf(device), packState(DeviceState(1, 5000, 9000, 2, uint32(NOW + 30), head)), "slot");
        rejects(batch, Rejection.WrongSequence);
    }

    function testFuzz_griefingOneBadBatchDoesNotSinkTheOthers(uint256 header, bytes memory payload, bool first) public {
        SignedBatch[] memory batches = new SignedBatch[](2);
        SignedBatch memory bad = SignedBatch(header, payload);
        SignedBatch memory good = sign(DEVICE_KEY, goodHeader(device), twoReadings());
        (batches[0], batches[1]) = first ? (bad, good) : (good, bad);
        vm.recordLogs();
        assertEq(registry.submitBatches(batches), 1, "accepted");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2, "logs");
        assertEq(logs[first ? 0 : 1].topics[0], ISensorRegistry.Rejected.selector, "Rejected");
        assertAccepted(logs[first ? 1 : 0], good, hex"000114");
    }

    function test_griefingOneBadBatchDoesNotSinkTheOthers() public {
        uint256 most = type(uint256).max;
        testFuzz_griefingOneBadBatchDoesNotSinkTheOthers(most, "", true);
        setUp();
        testFuzz_griefingOneBadBatchDoesNotSinkTheOthers(most - 255 + DELTA, new bytes(131_072 + 64), true);
        setUp();
        testFuzz_griefingOneBadBatchDoesNotSinkTheOthers(0, new bytes(3), false);
    }

    function wordsAt(bytes memory text, uint256 offset) private pure returns (uint256 first, uint256 second) {
        assembly ("memory-safe") {
            first := mload(add(add(text, 32), offset))
            second := mload(add(add(text, 64), offset))
        }
    }
}
