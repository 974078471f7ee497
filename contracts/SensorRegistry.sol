// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {
    DeviceRecord,
    DeviceState,
    ISensorRegistry,
    Profile,
    Rejection,
    SignedBatch
} from "./interfaces/ISensorRegistry.sol";
import {BatchHeader} from "./libraries/BatchHeader.sol";
import {BatchJudge} from "./libraries/BatchJudge.sol";
import {BatchLog} from "./libraries/BatchLog.sol";
import {DeviceSlot} from "./libraries/DeviceSlot.sol";
import {Judge} from "./libraries/Judge.sol";
import {ProfileSlot} from "./libraries/ProfileSlot.sol";
import {TypedData} from "./libraries/TypedData.sol";

/// @title SensorRegistry
/// @dev No immutables on purpose: the code at the address is then byte for byte the compiler's, which an auditor
/// compares; the domain separator costs one short keccak256 instead.
contract SensorRegistry is ISensorRegistry, AccessControlDefaultAdminRules {
    using BatchHeader for uint256;
    using DeviceSlot for uint256;

    /// @notice May add profiles, register and revoke devices. May not write, change or remove a reading.
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    /// @dev A struct so that a place in storage is hashed once for reading and writing.
    struct Slot {
        uint256 word;
    }

    /// @dev Packed by `DeviceSlot`.
    mapping(address device => Slot slot) private _states;
    mapping(address device => DeviceRecord record) private _records;
    /// @dev Packed by `ProfileSlot`.
    mapping(uint8 number => uint256 rules) private _profiles;

    /// @inheritdoc ISensorRegistry
    uint8 public profileCount;

    /// @inheritdoc ISensorRegistry
    uint32 public deviceCount;

    /// @param adminDelay Seconds between the two steps in which the admin role changes hands.
    /// @param admin Holds the admin role and, to begin with, the registrar's.
    constructor(uint48 adminDelay, address admin) AccessControlDefaultAdminRules(adminDelay, admin) {
        _grantRole(REGISTRAR_ROLE, admin);
    }

    /// @inheritdoc ISensorRegistry
    function addProfile(Profile calldata rules) external onlyRole(REGISTRAR_ROLE) returns (uint8 profile) {
        if (rules.temperatureMin > rules.temperatureMax || rules.humidityMin > rules.humidityMax) {
            revert SensorRegistryInvalidProfile();
        }
        if (profileCount == type(uint8).max) revert SensorRegistryTooManyProfiles();
        profile = ++profileCount;
        _profiles[profile] = ProfileSlot.pack(rules);
        emit ProfileAdded(profile, rules);
    }

    /// @inheritdoc ISensorRegistry
    function registerDevice(address device, uint8 profile, bytes32 identityDigest) external onlyRole(REGISTRAR_ROLE) {
        if (device == address(0)) revert SensorRegistryZeroDevice();
        if (profile == 0 || profile > profileCount) revert SensorRegistryUnknownProfile(profile);
        if (_records[device].registeredAt != 0) revert SensorRegistryDeviceExists(device);
        ++deviceCount;
        _states[device].word = profile;
        _records[device] = DeviceRecord(identityDigest, uint32(block.timestamp), 0, 0);
        emit DeviceRegistered(device, profile, identityDigest);
    }

    /// @inheritdoc ISensorRegistry
    function revokeDevice(address device, uint32 untrustedSince) external onlyRole(REGISTRAR_ROLE) {
        uint256 slot = _states[device].word;
        if (slot.profile() == 0) revert SensorRegistryNotActive(device);
        _states[device].word = slot.revoked();
        _records[device].revokedAt = uint32(block.timestamp);
        _records[device].untrustedSince = untrustedSince;
        emit DeviceRevoked(device, untrustedSince);
    }

    /// @inheritdoc ISensorRegistry
    function post(
        uint24 sequence,
        uint32 measuredAt,
        int16 temperature,
        uint16 humidity
    ) external returns (Rejection rejection, uint8 verdict) {
        uint256 header = BatchHeader.own(msg.sender, measuredAt, sequence);
        uint256 values = (uint256(uint16(temperature)) << 16) | humidity;
        bytes32 dataDigest = DeviceSlot.digest(values);
        Slot storage place = _states[msg.sender];
        uint256 slot = place.word;
        // Authorises nobody: the origin's is the one key that signed the transaction.
        // solhint-disable-next-line avoid-tx-origin
        if (msg.sender != tx.origin || msg.sender.code.length != 0) rejection = Rejection.SenderIsCode;
        else if (slot.profile() == 0) rejection = _absence(msg.sender);
        else if (!_follows(slot, header)) rejection = Rejection.WrongSequence;
        if (rejection != Rejection.None) {
            emit Rejected(msg.sender, rejection, msg.sender, header, dataDigest);
            return (rejection, 0);
        }

        uint256 rules = _profiles[slot.profile()];
        uint256 lastTime = slot.lastTime();
        uint256 flags = Judge.time(measuredAt, lastTime, Judge.latestTime(rules));
        if (flags == 0) lastTime = measuredAt;
        flags |= Judge.values(rules, slot.sequence() == 0 ? values : slot.values(), values);
        place.word = slot.advanced(header, dataDigest, 1, values, lastTime);
        // casting is safe: the flags are of six bits
        verdict = uint8(flags);
        emit ReadingPosted(msg.sender, sequence, measuredAt, temperature, humidity, verdict);
    }

    /// @inheritdoc ISensorRegistry
    function submitBatch(
        uint256 header,
        bytes calldata payload
    ) external returns (Rejection rejection, uint256 illegal) {
        return _submit(TypedData.domainSeparator(), header, payload);
    }

    /// @inheritdoc ISensorRegistry
    function submitBatches(SignedBatch[] calldata batches) external returns (uint256 accepted) {
        bytes32 separator = TypedData.domainSeparator();
        for (uint256 i = 0; i < batches.length; ++i) {
            SignedBatch calldata batch = batches[i];
            (Rejection rejection, ) = _submit(separator, batch.header, batch.payload);
            if (rejection == Rejection.None) ++accepted;
        }
    }

    /// @inheritdoc ISensorRegistry
    function profileOf(uint8 profile) external view returns (Profile memory) {
        return ProfileSlot.unpack(_profiles[profile]);
    }

    /// @inheritdoc ISensorRegistry
    function stateOf(address device) external view returns (DeviceState memory) {
        return DeviceSlot.unpack(_states[device].word);
    }

    /// @inheritdoc ISensorRegistry
    function recordOf(address device) external view returns (DeviceRecord memory) {
        return _records[device];
    }

    /// @inheritdoc ISensorRegistry
    function domainSeparator() external view returns (bytes32) {
        return TypedData.domainSeparator();
    }

    function _submit(
        bytes32 separator,
        uint256 header,
        bytes calldata payload
    ) private returns (Rejection rejection, uint256 illegal) {
        address device = header.device();
        Slot storage place = _states[device];
        uint256 slot = place.word;
        uint256 length = header.dataLength();
        bool formed = _isFormed(length, payload.length);
        (uint256 log, uint256 next) = BatchLog.begin(header, payload, header.count());
        bytes32 dataDigest = BatchLog.digest(log, formed ? length : payload.length);
        if (!formed) rejection = Rejection.Malformed;
        else if (slot.profile() == 0)
            rejection = _absence(device);
            // Before the sequence number: a forgery is to be recorded as one.
        else if (!_isSignedBy(device, TypedData.digest(separator, header, dataDigest), payload, length)) {
            rejection = Rejection.WrongSignature;
        } else if (!_follows(slot, header)) rejection = Rejection.WrongSequence;
        if (rejection != Rejection.None) {
            BatchLog.abandon(log);
            emit Rejected(device, rejection, msg.sender, header, dataDigest);
            return (rejection, 0);
        }

        uint256 data;
        assembly ("memory-safe") {
            data := payload.offset
        }
        uint256 values;
        uint256 lastTime;
        (next, values, lastTime) = BatchJudge.judge(slot, _profiles[slot.profile()], header, data, next);
        place.word = slot.advanced(header, dataDigest, header.count(), values, lastTime);
        return (Rejection.None, BatchLog.end(log, next, device));
    }

    /// @dev Whether the payload is as long as its readings and a signature.
    function _isFormed(uint256 dataLength, uint256 payloadLength) private pure returns (bool) {
        unchecked {
            return dataLength != 0 && (payloadLength == dataLength + 64 || payloadLength == dataLength + 128);
        }
    }

    /// @dev Whether the readings are the device's next. A history that would outgrow its 24-bit sequence number ends: the
    /// device gets a new key.
    function _follows(uint256 slot, uint256 header) private pure returns (bool) {
        unchecked {
            uint256 first = header.firstSequence();
            return first == slot.sequence() && first + header.count() <= type(uint24).max;
        }
    }

    /// @dev Why a device without a profile may not post.
    function _absence(address device) private view returns (Rejection) {
        // Compared with what stands for "never" only: no proposer's choice of the time changes it.
        // slither-disable-next-line timestamp
        return _records[device].registeredAt != 0 ? Rejection.RevokedDevice : Rejection.UnknownDevice;
    }

    /// @dev Whether the signature behind the data, of 64 bytes (secp256k1) or 128 (P-256), is the device's.
    function _isSignedBy(
        address device,
        bytes32 digest,
        bytes calldata payload,
        uint256 length
    ) private view returns (bool) {
        uint256 place;
        assembly ("memory-safe") {
            place := add(payload.offset, length)
        }
        (bytes32 r, bytes32 s) = (_word(place, 0), _word(place, 32));
        if (payload.length - length == 64) {
            // The zero address where it is no signature; a registered device has another. Why it is none, nobody asks.
            // slither-disable-next-line unused-return
            (address signer, , ) = ECDSA.tryRecover(digest, r, s);
            return signer == device;
        }
        if (address(uint160(uint256(keccak256(payload[length + 64:])))) != device) return false;
        return P256.verify(digest, r, s, _word(place, 64), _word(place, 96));
    }

    function _word(uint256 place, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(place, offset))
        }
    }
}
