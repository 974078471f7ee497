// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {DeviceRecord, DeviceState, ISensorRegistry, Profile, Rejection} from "./interfaces/ISensorRegistry.sol";
import {BatchHeader} from "./libraries/BatchHeader.sol";
import {Judge} from "./libraries/Judge.sol";

/// @title SensorRegistry
/// @dev No immutables on purpose: the code at the address is then byte for byte the compiler's, which an auditor
/// compares; the domain separator costs one short keccak256 instead.
contract SensorRegistry is ISensorRegistry, AccessControlDefaultAdminRules {
    using BatchHeader for uint256;

    /// @notice May add profiles, register and revoke devices. May not write, change or remove a reading.
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant NAME_HASH = keccak256("Sensetrail");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant BATCH_TYPEHASH = keccak256("Batch(uint256 header,bytes data)");

    mapping(address device => DeviceState state) private _states;
    mapping(address device => DeviceRecord record) private _records;
    mapping(uint8 number => Profile rules) private _profiles;

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
        _profiles[profile] = rules;
        emit ProfileAdded(profile, rules);
    }

    /// @inheritdoc ISensorRegistry
    function registerDevice(address device, uint8 profile, bytes32 identityDigest) external onlyRole(REGISTRAR_ROLE) {
        if (device == address(0)) revert SensorRegistryZeroDevice();
        if (profile == 0 || profile > profileCount) revert SensorRegistryUnknownProfile(profile);
        if (_records[device].registeredAt != 0) revert SensorRegistryDeviceExists(device);
        ++deviceCount;
        _states[device].profile = profile;
        _records[device] = DeviceRecord(identityDigest, uint32(block.timestamp), 0, 0);
        emit DeviceRegistered(device, profile, identityDigest);
    }

    /// @inheritdoc ISensorRegistry
    function revokeDevice(address device, uint32 untrustedSince) external onlyRole(REGISTRAR_ROLE) {
        if (_states[device].profile == 0) revert SensorRegistryNotActive(device);
        _states[device].profile = 0;
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
        bytes32 dataDigest = keccak256(abi.encodePacked(temperature, humidity));
        DeviceState memory state = _states[msg.sender];
        // Authorises nobody: the origin's is the one key that signed the transaction.
        // solhint-disable-next-line avoid-tx-origin
        bool isCode = msg.sender != tx.origin || msg.sender.code.length != 0;
        rejection = isCode ? Rejection.SenderIsCode : _admission(state, header);
        if (rejection != Rejection.None) {
            emit Rejected(msg.sender, rejection, msg.sender, header, dataDigest);
            return (rejection, 0);
        }

        Profile memory rules = _profiles[state.profile];
        verdict = Judge.judge(state, rules, Judge.latestTime(rules), measuredAt, temperature, humidity);
        state.head = _nextHead(state.head, header, dataDigest);
        _states[msg.sender] = state;
        emit ReadingPosted(msg.sender, sequence, measuredAt, temperature, humidity, verdict);
    }

    /// @inheritdoc ISensorRegistry
    function submitBatch(
        uint256 header,
        bytes32 r,
        bytes32 vs,
        bytes calldata data
    ) external returns (Rejection rejection, uint256 illegal) {
        address device = header.device();
        bytes32 dataDigest = keccak256(data);
        DeviceState memory state = _states[device];
        rejection = header.fits(data.length) ? _admission(state, header) : Rejection.Malformed;
        // A wrong signature goes before a wrong sequence number: a forgery is to be recorded as one.
        if (rejection == Rejection.None || rejection == Rejection.WrongSequence) {
            if (!_isSignedBy(device, header, dataDigest, r, vs)) rejection = Rejection.WrongSignature;
        }
        if (rejection != Rejection.None) {
            emit Rejected(device, rejection, msg.sender, header, dataDigest);
            return (rejection, 0);
        }

        bytes memory exceptions = _judgeBatch(state, header, data);
        state.head = _nextHead(state.head, header, dataDigest);
        _states[device] = state;
        emit BatchAccepted(device, header, r, vs, data, exceptions);
        return (Rejection.None, exceptions.length / 3);
    }

    /// @inheritdoc ISensorRegistry
    function profileOf(uint8 profile) external view returns (Profile memory) {
        return _profiles[profile];
    }

    /// @inheritdoc ISensorRegistry
    function stateOf(address device) external view returns (DeviceState memory) {
        return _states[device];
    }

    /// @inheritdoc ISensorRegistry
    function recordOf(address device) external view returns (DeviceRecord memory) {
        return _records[device];
    }

    /// @inheritdoc ISensorRegistry
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    /// @dev Whether the sender's claim may enter the device's history, signature aside. A history that would outgrow
    /// its 24-bit sequence number ends: the device gets a new key.
    function _admission(DeviceState memory state, uint256 header) private view returns (Rejection) {
        if (state.profile == 0) {
            bool known = _records[header.device()].registeredAt != 0;
            return known ? Rejection.RevokedDevice : Rejection.UnknownDevice;
        }
        if (header.firstSequence() != state.sequence) return Rejection.WrongSequence;
        if (header.firstSequence() + header.count() > type(uint24).max) return Rejection.WrongSequence;
        return Rejection.None;
    }

    function _isSignedBy(
        address device,
        uint256 header,
        bytes32 dataDigest,
        bytes32 r,
        bytes32 vs
    ) private view returns (bool) {
        bytes32 structHash = keccak256(abi.encode(BATCH_TYPEHASH, header, dataDigest));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
        (address signer, ECDSA.RecoverError err, ) = ECDSA.tryRecover(digest, r, vs);
        return err == ECDSA.RecoverError.NoError && signer == device;
    }

    /// @dev Judges every reading in order, moves `state` past the batch, and lists the readings that are not legal.
    function _judgeBatch(
        DeviceState memory state,
        uint256 header,
        bytes calldata data
    ) private view returns (bytes memory exceptions) {
        Profile memory rules = _profiles[state.profile];
        uint256 latest = Judge.latestTime(rules);
        uint256 n = header.count();
        bool timed = header.format() == BatchHeader.TIMED;
        uint256 measuredAt = header.start();
        uint256 offset;
        exceptions = new bytes(3 * n);
        uint256 length;
        for (uint256 i = 0; i < n; ++i) {
            if (timed) {
                measuredAt += uint16(bytes2(data[offset:offset + 2]));
                offset += 2;
            }
            int16 temperature = int16(uint16(bytes2(data[offset:offset + 2])));
            uint16 humidity = uint16(bytes2(data[offset + 2:offset + 4]));
            offset += 4;
            uint8 verdict = Judge.judge(state, rules, latest, measuredAt, temperature, humidity);
            if (verdict != 0) {
                exceptions[length] = bytes1(uint8(i >> 8));
                exceptions[length + 1] = bytes1(uint8(i));
                exceptions[length + 2] = bytes1(verdict);
                length += 3;
            }
            if (!timed) measuredAt += header.period();
        }
        // Shortens the array to what was used.
        assembly ("memory-safe") {
            mstore(exceptions, length)
        }
    }

    function _nextHead(bytes20 head, uint256 header, bytes32 dataDigest) private pure returns (bytes20) {
        return bytes20(keccak256(abi.encodePacked(head, header, dataDigest)));
    }
}
