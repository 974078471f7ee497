// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, ISensorRegistry, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice Devices whose key is of P-256, as secure elements hold it. The tests run where the chain has P256VERIFY
/// (EIP-7951, address 0x100), and in `WithoutPrecompile` once more where it has not.
contract P256Test is Fixture {
    uint256 internal constant SECURE_KEY = uint256(keccak256("a secure element's key")) >> 1;
    uint256 internal constant FORGER_KEY = uint256(keccak256("a forger's key")) >> 1;
    uint256 private constant FIELD = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF;

    address internal secure;

    function setUp() public virtual override {
        super.setUp();
        secure = p256Device(SECURE_KEY);
        registry.registerDevice(secure, 1, IDENTITY);
    }

    function test_precompile() public view virtual {
        assertEq(askPrecompile(), bytes.concat(bytes32(uint256(1))), "P256VERIFY");
    }

    function test_accepted() public {
        SignedBatch memory batch = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        assertEq(batch.payload.length, 8 + 128, "length");
        vm.expectEmit(address(registry));
        emit ISensorRegistry.BatchAccepted(secure, batch.header, batch.payload, hex"000114");
        (Rejection rejection, uint256 illegal) = submit(batch);
        assertEq(rejection, Rejection.None);
        assertEq(illegal, 1, "illegal");
        bytes20 head = headAfter(0, batch.header, twoReadings());
        assertEq(slotOf(secure), packState(DeviceState(1, 5000, 9000, 2, uint32(NOW + 30), head)), "slot");
        rejects(batch, Rejection.WrongSequence);
    }

    function test_forged() public {
        // Another key's signature, under its own public key and under the device's.
        SignedBatch memory forged = signP256(FORGER_KEY, goodHeader(secure), twoReadings());
        rejects(forged, Rejection.WrongSignature);
        SignedBatch memory honest = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        for (uint256 i = 72; i < 136; ++i) forged.payload[i] = honest.payload[i];
        rejects(forged, Rejection.WrongSignature);
    }

    function test_highSIsRefused() public {
        uint256 header = goodHeader(secure);
        bytes32 digest = digestOf(header, twoReadings(), block.chainid, address(registry));
        (bytes32 r, bytes32 s) = vm.signP256(SECURE_KEY, digest);
        (uint256 x, uint256 y) = vm.publicKeyP256(SECURE_KEY);
        uint256 low = uint256(s) > P256_ORDER / 2 ? P256_ORDER - uint256(s) : uint256(s);
        bytes memory payload = abi.encodePacked(twoReadings(), r, P256_ORDER - low, x, y);
        rejects(SignedBatch(header, payload), Rejection.WrongSignature);
        (Rejection rejection, ) = registry.submitBatch(header, abi.encodePacked(twoReadings(), r, low, x, y));
        assertEq(rejection, Rejection.None);
    }

    function test_zeroOrHugeRAndS() public {
        (uint256 x, uint256 y) = vm.publicKeyP256(SECURE_KEY);
        uint256[4] memory values = [uint256(0), P256_ORDER, P256_ORDER + 1, type(uint256).max];
        for (uint256 i = 0; i < 4; ++i) {
            rejects(
                SignedBatch(goodHeader(secure), abi.encodePacked(twoReadings(), values[i], uint256(1), x, y)),
                Rejection.WrongSignature
            );
            rejects(
                SignedBatch(goodHeader(secure), abi.encodePacked(twoReadings(), uint256(1), values[i], x, y)),
                Rejection.WrongSignature
            );
        }
    }

    function test_wrongPublicKey() public {
        SignedBatch memory batch = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        (uint256 x, uint256 y) = vm.publicKeyP256(FORGER_KEY);
        bytes memory signature = firstBytes(batch.payload, 72);
        rejects(SignedBatch(batch.header, abi.encodePacked(signature, x, y)), Rejection.WrongSignature);
        // The device's own, mirrored or written otherwise: not the bytes that its address is of.
        (x, y) = vm.publicKeyP256(SECURE_KEY);
        rejects(SignedBatch(batch.header, abi.encodePacked(signature, x, FIELD - y)), Rejection.WrongSignature);
        rejects(SignedBatch(batch.header, abi.encodePacked(signature, y, x)), Rejection.WrongSignature);
    }

    function test_keyOfAnotherDevice() public {
        // A sound signature of one registered device under another's name, of either kind.
        registry.registerDevice(p256Device(FORGER_KEY), 1, IDENTITY);
        rejects(signP256(FORGER_KEY, goodHeader(secure), twoReadings()), Rejection.WrongSignature);
        rejects(signP256(FORGER_KEY, goodHeader(device), twoReadings()), Rejection.WrongSignature);
        rejects(sign(DEVICE_KEY, goodHeader(secure), twoReadings()), Rejection.WrongSignature);
    }

    /// @dev Registered under a "public key" that is no point: nothing is ever a signature of it.
    function test_notOnTheCurve() public {
        uint256[2][3] memory keys = [[uint256(1), 1], [uint256(0), 0], [FIELD, 1]];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory key = abi.encodePacked(keys[i][0], keys[i][1]);
            address invalid = address(uint160(uint256(keccak256(key))));
            registry.registerDevice(invalid, 1, IDENTITY);
            SignedBatch memory batch = signP256(SECURE_KEY, goodHeader(invalid), twoReadings());
            batch.payload = bytes.concat(firstBytes(batch.payload, 72), key);
            rejects(batch, Rejection.WrongSignature);
        }
    }

    function test_signatureLengths() public {
        SignedBatch memory batch = signP256(SECURE_KEY, goodHeader(secure), twoReadings());
        for (uint256 length = 0; length < 128 + 8; ++length) {
            if (length == 72) continue;
            rejects(SignedBatch(batch.header, firstBytes(batch.payload, length)), Rejection.Malformed);
        }
        // As long as a signature of secp256k1, which it is not.
        rejects(SignedBatch(batch.header, firstBytes(batch.payload, 72)), Rejection.WrongSignature);
        for (uint256 more = 1; more <= 64; ++more) {
            rejects(SignedBatch(batch.header, bytes.concat(batch.payload, new bytes(more))), Rejection.Malformed);
        }
    }

    /// @dev P256VERIFY on the signature that OpenZeppelin probes it with, Wycheproof's for small r and s.
    function askPrecompile() internal view returns (bytes memory) {
        (bool success, bytes memory answer) = address(0x100).staticcall(
            abi.encodePacked(
                bytes32(0xbb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023),
                uint256(5),
                uint256(1),
                bytes32(0xa71af64de5126a4a4e02b7922d66ce9415ce88a4c9d25514d91082c8725ac957),
                bytes32(0x5d47723c8fbe580bb369fec9c2665d8e30a435b9932645482e7c9f11e872296b)
            )
        );
        require(success, "0x100");
        return answer;
    }
}

/// @notice The same on a chain without P256VERIFY: OpenZeppelin's Solidity takes its place.
contract WithoutPrecompileTest is P256Test {
    function setUp() public override {
        super.setUp();
        // An address without code, which is what 0x100 is on such a chain, succeeds and returns nothing.
        vm.mockCall(address(0x100), "", "");
    }

    function test_precompile() public view override {
        assertEq(askPrecompile(), "", "P256VERIFY");
    }
}
