// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice The rules for one kind of device. Immutable once added: a rule change is a new profile, so that an old
/// verdict can be recomputed for ever.
/// @param temperatureMin Lowest legal temperature, 0.01 degC.
/// @param temperatureMax Highest legal temperature, 0.01 degC.
/// @param temperatureStep Largest legal change of temperature from one reading to the next, 0.01 degC.
/// @param humidityMin Lowest legal relative humidity, 0.01 %RH.
/// @param humidityMax Highest legal relative humidity, 0.01 %RH.
/// @param humidityStep Largest legal change of humidity from one reading to the next, 0.01 %RH.
/// @param futureTolerance How far after the block's time a reading's time may lie, seconds.
struct Profile {
    int16 temperatureMin;
    int16 temperatureMax;
    uint16 temperatureStep;
    uint16 humidityMin;
    uint16 humidityMax;
    uint16 humidityStep;
    uint32 futureTolerance;
}

/// @notice All that judging a device's next reading needs, in one storage slot (lowest bits first).
/// @param profile The device's profile; 0 for a device that may not post (never registered, or revoked).
/// @param humidity Humidity of the last accepted reading, 0.01 %RH.
/// @param temperature Temperature of the last accepted reading, 0.01 degC.
/// @param sequence How many readings were accepted so far, which is the next reading's sequence number.
/// @param lastTime The latest `measuredAt` accepted so far that did not lie in the future, Unix seconds.
/// @param head The device's hash chain over everything accepted from it (first 20 bytes of each keccak256).
struct DeviceState {
    uint8 profile;
    uint16 humidity;
    int16 temperature;
    uint24 sequence;
    uint32 lastTime;
    bytes20 head;
}

/// @notice What the registrar recorded of a device; read when a device posts that may not, and by auditors.
/// @param identityDigest Digest of make, model, serial number and calibration.
/// @param registeredAt Block time of the registration, Unix seconds; 0 for a device never registered.
/// @param revokedAt Block time of the revocation, Unix seconds; 0 while not revoked.
/// @param untrustedSince Nothing this device measured at or after this time is to be trusted, Unix seconds.
struct DeviceRecord {
    bytes32 identityDigest;
    uint32 registeredAt;
    uint32 revokedAt;
    uint32 untrustedSince;
}

/// @notice A batch as its device signed it.
/// @param header The batch's header word, see `submitBatch`.
/// @param payload The readings and the signature, see `submitBatch`.
struct SignedBatch {
    uint256 header;
    bytes payload;
}

/// @notice Why something never entered a device's history.
/// @dev `SenderIsCode`: the device's account runs code, or was called by it, so the transaction does not prove its key.
enum Rejection {
    None,
    Malformed,
    UnknownDevice,
    RevokedDevice,
    WrongSignature,
    WrongSequence,
    SenderIsCode
}

/// @title Register of sensors and judge of their readings
/// @notice Readings come in by `post` (one, by the device's own transaction) or by `submitBatch` (many, signed by the
/// device, sent by anyone). Each accepted reading gets a verdict: 0 is legal, else the sum of
/// 1 time not after the reading before, 2 time in the future, 4 temperature out of range, 8 humidity out of range,
/// 16 temperature step too large, 32 humidity step too large (rules J1 to J6).
/// What is not accepted changes nothing but is recorded as an event all the same.
interface ISensorRegistry {
    /// @notice A profile was added under the number `profile`.
    event ProfileAdded(uint8 indexed profile, Profile rules);

    /// @notice A device was registered.
    event DeviceRegistered(address indexed device, uint8 indexed profile, bytes32 identityDigest);

    /// @notice A device was revoked; what it measured at or after `untrustedSince` is not to be trusted.
    event DeviceRevoked(address indexed device, uint32 untrustedSince);

    /// @notice One reading was accepted from the device's own transaction.
    /// @param sequence The reading's number in the device's history, from 0.
    /// @param measuredAt When it was measured, Unix seconds.
    /// @param temperature 0.01 degC.
    /// @param humidity 0.01 %RH.
    /// @param verdict 0 for a legal reading, else flags.
    event ReadingPosted(
        address indexed device,
        uint24 sequence,
        uint32 measuredAt,
        int16 temperature,
        uint16 humidity,
        uint8 verdict
    );

    /// @notice A signed batch was accepted.
    /// @param header The batch's header word, see `submitBatch`.
    /// @param payload The readings and the signature, as sent.
    /// @param exceptions Three bytes for each reading that is not legal, in order: index (2), verdict (1).
    event BatchAccepted(address indexed device, uint256 header, bytes payload, bytes exceptions);

    /// @notice Something was sent in a device's name and did not enter its history.
    /// @param sender Who sent the transaction's call.
    /// @param header The batch's header word; of a single reading, the header it would have had (format 0).
    /// @param dataDigest keccak256 of the data; of a malformed batch, of its payload.
    event Rejected(
        address indexed device,
        Rejection indexed reason,
        address sender,
        uint256 header,
        bytes32 dataDigest
    );

    /// @notice A profile's least value is above its greatest.
    error SensorRegistryInvalidProfile();

    /// @notice All 255 profile numbers are used.
    error SensorRegistryTooManyProfiles();

    /// @notice There is no profile with this number.
    error SensorRegistryUnknownProfile(uint8 profile);

    /// @notice This device is registered already, or was and is revoked. A device never comes back under one key.
    error SensorRegistryDeviceExists(address device);

    /// @notice This device was never registered, or is revoked already.
    error SensorRegistryNotActive(address device);

    /// @notice The zero address is no device.
    error SensorRegistryZeroDevice();

    /// @notice Adds a profile. Registrar only.
    /// @return profile Its number, counted from 1.
    function addProfile(Profile calldata rules) external returns (uint8 profile);

    /// @notice Registers a device. Registrar only.
    function registerDevice(address device, uint8 profile, bytes32 identityDigest) external;

    /// @notice Revokes a device for good. Registrar only.
    /// Warning: readings accepted before stay in the history; `untrustedSince` tells which of them not to trust.
    function revokeDevice(address device, uint32 untrustedSince) external;

    /// @notice Takes one reading from the device's own transaction.
    /// @dev The transaction must be the device key's own: an account with code (a contract, or one that delegates by
    /// EIP-7702) can be made to call this by others, and is rejected. It may send batches.
    /// @param sequence The device's next sequence number.
    /// @param measuredAt Unix seconds.
    /// @param temperature 0.01 degC.
    /// @param humidity 0.01 %RH.
    /// @return rejection Why it was not accepted, or `None`.
    /// @return verdict The verdict, where it was accepted.
    function post(
        uint24 sequence,
        uint32 measuredAt,
        int16 temperature,
        uint16 humidity
    ) external returns (Rejection rejection, uint8 verdict);

    /// @notice Takes many readings of one device, oldest first, under its EIP-712 signature.
    /// @dev The signed struct is `Batch(uint256 header,bytes data)`, EIP-712 domain ("Sensetrail", "1", chain, this).
    /// @param header From the highest bits: device (160), start (32, Unix seconds), period (16, seconds), first
    /// sequence number (24), count (16, 1 to 10,000), format (8).
    /// @param payload `data`, then the signature, by whose length the device's kind of key is known.
    ///
    /// `data`, all big-endian. Format 1 (*timed*): 6 bytes a reading: seconds since the reading before (2; the first:
    /// since start), temperature (2, signed), humidity (2). Format 2 (*regular*): 4 bytes a reading: temperature,
    /// humidity; reading `i` was measured at `start + i * period`. Format 3 (*delta*): times as regular; the first
    /// reading as regular, each other 2 bytes: what temperature and humidity changed by (1, signed, each; values wrap at
    /// 16 bits).
    ///
    /// The signature. Of a secp256k1 key, 64 bytes: r, and s with the parity in its highest bit (EIP-2098). Of a P-256
    /// key, 128: r, s, and the public key's x, y; the device is `keccak256(x || y)[12:]`. Of both, only the lower s is
    /// accepted.
    /// @return rejection Why it was not accepted, or `None`.
    /// @return illegal How many readings are not legal, where it was accepted.
    function submitBatch(
        uint256 header,
        bytes calldata payload
    ) external returns (Rejection rejection, uint256 illegal);

    /// @notice Takes batches of any devices, each as by `submitBatch`: one that is rejected does not touch the others.
    /// @return accepted How many were accepted.
    function submitBatches(SignedBatch[] calldata batches) external returns (uint256 accepted);

    /// @notice The rules of a profile; all zero where there is none.
    function profileOf(uint8 profile) external view returns (Profile memory);

    /// @notice How many profiles there are; their numbers are 1 to this.
    function profileCount() external view returns (uint8);

    /// @notice How many devices were ever registered, revoked ones among them: lets an auditor notice a device whose
    /// events a node hides.
    function deviceCount() external view returns (uint32);

    /// @notice A device's state: the slot that judging reads and writes.
    function stateOf(address device) external view returns (DeviceState memory);

    /// @notice A device's record.
    function recordOf(address device) external view returns (DeviceRecord memory);

    /// @notice The EIP-712 domain separator on this chain.
    function domainSeparator() external view returns (bytes32);
}
