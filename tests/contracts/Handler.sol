// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/ModelRegistry.sol";
import {SensorRegistry} from "../../contracts/SensorRegistry.sol";
import {Dataset, Model} from "../../contracts/interfaces/IModelRegistry.sol";
import {DeviceRecord, Profile, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice What devices, gateways, the registrar and strangers do, in any order, and what should have come of it.
/// @dev It never requires an answer of the registry: what went wrong is to show in an invariant.
contract SensorHandler is Fixture {
    /// @dev A device, and what is expected of the registry for it.
    /// @param slot Its storage slot after what its own signature or transaction, or the registrar, did last.
    /// @param frozen Its storage slot at its revocation.
    /// @param head Over every header and data that the registry accepted, by the interface's words.
    /// @param readings How many those were.
    /// @param sequenceSeen The greatest sequence number that its slot ever had.
    /// @param timeSeen The latest time likewise.
    struct Known {
        address who;
        uint256 key;
        bool isP256;
        bool isRevoked;
        bytes32 slot;
        bytes32 frozen;
        bytes20 head;
        uint256 readings;
        uint256 sequenceSeen;
        uint256 timeSeen;
        DeviceRecord record;
    }

    uint256 private constant MOST_DEVICES = 8;
    uint256 private constant STRANGER_KEY = uint256(keccak256("a stranger"));

    bytes32[] public profiles;
    uint256 public batches;
    uint256 public posts;
    uint256 public meddlings;
    mapping(Rejection reason => uint256 times) public rejections;
    /// @notice What honest devices sent in vain.
    uint256 public losses;

    Known[] private _known;
    SignedBatch[] private _sent;
    uint256 private _now = NOW;
    uint256 private _seed;

    /// @dev The clock goes on; then, whatever was done, every slot is looked at.
    modifier watched(uint256 seed) {
        _seed = seed;
        _now += below(100);
        vm.warp(_now);
        _;
        for (uint256 i = 0; i < _known.length; ++i) {
            Known storage known = _known[i];
            uint256 slot = uint256(slotOf(known.who));
            if (uint24(slot >> 40) > known.sequenceSeen) known.sequenceSeen = uint24(slot >> 40);
            if (uint32(slot >> 64) > known.timeSeen) known.timeSeen = uint32(slot >> 64);
        }
    }

    constructor() {
        vm.warp(NOW);
        registry = new SensorRegistry(1 days, address(this));
        _addProfile(room());
        for (uint256 i = 0; i < 5; ++i) _register();
        // One revoked from the start: a run is short.
        _revoke(_known[4], 0);
    }

    function addProfile(uint256 seed) external watched(seed) {
        if (profiles.length == 20) return;
        int16 least = int16(uint16(below(2 ** 15)));
        uint16 humidity = uint16(below(2 ** 15));
        _addProfile(
            Profile({
                temperatureMin: least - 10_000,
                temperatureMax: least,
                temperatureStep: uint16(below(2 ** 16)),
                humidityMin: humidity,
                humidityMax: 2 * humidity,
                humidityStep: uint16(below(2 ** 16)),
                futureTolerance: uint32(below(2 ** 32))
            })
        );
    }

    function register(uint256 seed) external watched(seed) {
        if (_known.length < MOST_DEVICES) _register();
    }

    /// @notice Revokes a device, but the first: something is to go on.
    function revoke(uint256 seed) external watched(seed) {
        Known storage known = any();
        if (known.isRevoked || known.who == _known[0].who || below(3) != 0) return;
        _revoke(known, uint32(below(2 ** 32)));
    }

    function submit(uint256 seed) external watched(seed) {
        Known storage known = active();
        SignedBatch memory batch = signed(known, nextHeader(known, known.readings));
        vm.prank(below(2) == 0 ? GATEWAY : known.who);
        (Rejection rejection, ) = registry.submitBatch(batch.header, batch.payload);
        settle(known, batch, rejection);
    }

    /// @notice An honest batch between one that was sent before and one by a stranger.
    function submitMany(uint256 seed) external watched(seed) {
        if (_sent.length == 0) return;
        Known storage known = active();
        SignedBatch memory batch = signed(known, nextHeader(known, known.readings));
        SignedBatch[] memory all = new SignedBatch[](3);
        (all[0], all[1], all[2]) = (_sent[below(_sent.length)], batch, forged(any(), below(9)));
        vm.prank(GATEWAY);
        uint256 accepted = registry.submitBatches(all);
        settle(known, batch, accepted == 1 ? Rejection.None : Rejection.WrongSequence);
    }

    function post(uint256 seed) external watched(seed) {
        Known storage known = active();
        if (known.isP256) known = _known[0];
        uint32 time = nextTime(known);
        (int16 temperature, uint16 humidity) = values();
        uint24 sequence = uint24(known.readings);
        vm.prank(known.who, known.who);
        (Rejection rejection, ) = registry.post(sequence, time, temperature, humidity);
        uint256 header = pack(known.who, time, 0, sequence, 1, 0);
        settlePost(known, header, abi.encodePacked(temperature, humidity), rejection);
    }

    /// @notice A device signs other readings than its next.
    function skip(uint256 seed) external watched(seed) {
        Known storage known = active();
        uint256 first = uint24(known.readings + 1 + below(5) * below(2 ** 22));
        SignedBatch memory batch = signed(known, nextHeader(known, first));
        (Rejection rejection, ) = registry.submitBatch(batch.header, batch.payload);
        if (rejection == Rejection.None) settle(known, batch, rejection);
        else ++rejections[rejection];
    }

    /// @notice A revoked device goes on.
    function goOn(uint256 seed) external watched(seed) {
        Known storage known = any();
        if (!known.isRevoked) known = _known[4];
        SignedBatch memory batch = signed(known, nextHeader(known, known.readings));
        (Rejection rejection, ) = registry.submitBatch(batch.header, batch.payload);
        if (rejection == Rejection.None) settle(known, batch, rejection);
        else ++rejections[rejection];
        uint32 time = nextTime(known);
        vm.prank(known.who, known.who);
        (rejection, ) = registry.post(uint24(known.readings), time, 2000, 5000);
        uint256 header = pack(known.who, time, 0, uint24(known.readings), 1, 0);
        if (rejection == Rejection.None)
            settlePost(known, header, abi.encodePacked(int16(2000), uint16(5000)), rejection);
        else ++rejections[rejection];
    }

    /// @notice A stranger sends what was accepted before.
    function replay(uint256 seed) external watched(seed) {
        if (_sent.length == 0) return;
        submitAsStranger(_sent[below(_sent.length)]);
    }

    /// @notice A stranger sends a device's next batch, without its signature.
    function forge(uint256 seed) external watched(seed) {
        submitAsStranger(forged(any(), below(9)));
    }

    /// @notice A stranger sends anything at all.
    function sendAnything(uint256 seed, uint256 header, bytes calldata payload) external watched(seed) {
        submitAsStranger(SignedBatch(header, payload));
        header = (uint256(uint160(any().who)) << 96) | uint96(header);
        submitAsStranger(SignedBatch(header, payload));
        header = nextHeader(any(), any().readings);
        submitAsStranger(SignedBatch(header, bytes.concat(firstBytes(new bytes(1000), lengthOf(header)), payload)));
    }

    /// @notice A stranger posts, by itself and through a device's account that runs its code.
    function impersonate(uint256 seed) external watched(seed) {
        Known storage known = any();
        address who = stranger();
        vm.prank(who, who);
        (Rejection rejection, ) = registry.post(uint24(known.readings), uint32(_now), 2000, 5000);
        ++rejections[rejection];
        vm.prank(known.who, who);
        (rejection, ) = registry.post(uint24(known.readings), uint32(_now), 2000, 5000);
        ++rejections[rejection];
    }

    /// @notice A stranger does the registrar's work; the registrar does again what was done.
    function meddle(uint256 seed) external watched(seed) {
        address who = any().who;
        bytes memory attempt = abi.encodeCall(registry.addProfile, (room()));
        if (below(3) == 0) attempt = abi.encodeCall(registry.revokeDevice, (who, 1));
        if (below(3) == 0) attempt = abi.encodeCall(registry.registerDevice, (stranger(), 1, IDENTITY));
        if (below(3) == 0) attempt = abi.encodeCall(registry.grantRole, (registry.REGISTRAR_ROLE(), stranger()));
        if (below(3) == 0) attempt = abi.encodeCall(registry.registerDevice, (who, 1, keccak256("another identity")));
        else vm.prank(stranger());
        // Whatever it answers: what came of it is to show in an invariant.
        // solhint-disable-next-line avoid-low-level-calls
        (bool done, ) = address(registry).call(attempt);
        if (!done) ++meddlings;
    }

    function deviceAmount() external view returns (uint256) {
        return _known.length;
    }

    function knownAt(uint256 i) external view returns (Known memory) {
        return _known[i];
    }

    function slotAt(uint256 i) external view returns (uint256) {
        return uint256(slotOf(_known[i].who));
    }

    function target() external view returns (SensorRegistry) {
        return registry;
    }

    function strangersSlot() external view returns (uint256) {
        uint256 all;
        for (uint256 i = 0; i < 3; ++i) all |= uint256(slotOf(strangerAt(i)));
        return all;
    }

    function _addProfile(Profile memory rules) private {
        registry.addProfile(rules);
        profiles.push(keccak256(abi.encode(rules)));
    }

    function _register() private {
        uint256 key = uint256(keccak256(bytes.concat("device", bytes32(_known.length))));
        bool isP256 = _known.length % 4 == 1;
        Known storage known = _known.push();
        (known.who, known.key, known.isP256) = (isP256 ? p256Device(key) : vm.addr(key), key, isP256);
        known.record = DeviceRecord(keccak256(abi.encode(key)), uint32(_now), 0, 0);
        registry.registerDevice(known.who, uint8(1 + below(profiles.length)), known.record.identityDigest);
        known.slot = slotOf(known.who);
    }

    function _revoke(Known storage known, uint32 untrustedSince) private {
        registry.revokeDevice(known.who, untrustedSince);
        known.isRevoked = true;
        known.slot = slotOf(known.who);
        known.frozen = known.slot;
        known.record.revokedAt = uint32(_now);
        known.record.untrustedSince = untrustedSince;
    }

    function submitAsStranger(SignedBatch memory batch) private {
        vm.prank(stranger());
        (Rejection rejection, ) = registry.submitBatch(batch.header, batch.payload);
        ++rejections[rejection];
    }

    /// @dev After a device signed a batch: what the registry accepts of it is expected of it from now on.
    function settle(Known storage known, SignedBatch memory batch, Rejection rejection) private {
        if (rejection != Rejection.None) ++losses;
        else {
            ++batches;
            known.head = headAfter(known.head, batch.header, firstBytes(batch.payload, lengthOf(batch.header)));
            known.readings += uint16(batch.header >> 8);
            _sent.push(batch);
        }
        known.slot = slotOf(known.who);
    }

    function settlePost(Known storage known, uint256 header, bytes memory data, Rejection rejection) private {
        if (rejection != Rejection.None) ++losses;
        else {
            ++posts;
            known.head = headAfter(known.head, header, data);
            ++known.readings;
        }
        known.slot = slotOf(known.who);
    }

    function signed(Known storage known, uint256 header) private returns (SignedBatch memory) {
        bytes memory data = dataOf(header);
        return known.isP256 ? signP256(known.key, header, data) : sign(known.key, header, data);
    }

    /// @dev A device's next batch as it did not sign it.
    function forged(Known storage known, uint256 way) private returns (SignedBatch memory batch) {
        uint256 header = nextHeader(known, known.readings);
        bytes memory data = dataOf(header);
        // By another key, of either kind; for another chain, another contract; with the same signature's other s.
        if (way == 0) return sign(STRANGER_KEY, header, data);
        if (way == 1) return signP256(STRANGER_KEY, header, data);
        bool elsewhere = below(2) == 0;
        uint256 chainId = elsewhere ? block.chainid + 1 : block.chainid;
        address contractAddress = elsewhere ? address(registry) : address(this);
        if (way == 2 && known.isP256) return signP256For(known.key, header, data, chainId, contractAddress);
        if (way == 2) return signFor(known.key, header, data, chainId, contractAddress);
        batch = known.isP256 ? signP256(known.key, header, data) : sign(known.key, header, data);
        uint256 length = batch.payload.length;
        // Any bit of the payload flipped, or of the header below the device; cut off; grown; no signature at all.
        if (way == 3) batch.payload[below(length)] ^= bytes1(uint8(1 << below(8)));
        else if (way == 4) batch.header ^= 1 << below(96);
        else if (way == 5) batch.payload = firstBytes(batch.payload, below(length));
        else if (way == 6) batch.payload = bytes.concat(batch.payload, new bytes(1 + below(100)));
        else if (way == 7) batch.payload = bytes.concat(data, new bytes(64 * (1 + below(2))));
        else if (!known.isP256) batch.payload[data.length + 32] ^= 0x80;
        else batch.payload = withOtherS(batch.payload, data.length);
    }

    function withOtherS(bytes memory payload, uint256 length) private pure returns (bytes memory) {
        assembly ("memory-safe") {
            let place := add(payload, add(length, 0x40))
            mstore(place, sub(P256_ORDER, mload(place)))
        }
        return payload;
    }

    function nextHeader(Known storage known, uint256 first) private returns (uint256) {
        uint16 count = uint16(1 + (below(8) == 0 ? below(40) : below(20)));
        return pack(known.who, nextTime(known), uint16(below(60)), uint24(first), count, uint8(1 + below(3)));
    }

    /// @dev Mostly after the last one, at times long before or in the future.
    function nextTime(Known storage known) private returns (uint32) {
        uint256 way = below(8);
        if (way == 0) return uint32(_now - below(1 days));
        if (way == 1) return uint32(_now + below(1 days));
        return uint32(known.timeSeen < _now ? _now : known.timeSeen + 1);
    }

    function dataOf(uint256 header) private returns (bytes memory data) {
        uint256 count = uint16(header >> 8);
        for (uint256 i = 0; i < count; ++i) {
            (int16 temperature, uint16 humidity) = values();
            if (uint8(header) == TIMED) data = bytes.concat(data, bytes2(uint16(below(60))));
            bool isDelta = uint8(header) == DELTA && i > 0;
            data =
                isDelta
                    ? bytes.concat(data, bytes2(uint16(uint256(_seed >> 16))))
                    : bytes.concat(data, abi.encodePacked(temperature, humidity));
        }
    }

    /// @dev Mostly near the middle, at times anything.
    function values() private returns (int16 temperature, uint16 humidity) {
        uint256 draw = below(2 ** 32);
        if (draw % 16 == 0) return (int16(uint16(draw >> 16)), uint16(draw));
        return (int16(uint16(1950 + ((draw >> 4) % 100))), uint16(4750 + ((draw >> 16) % 500)));
    }

    function any() private returns (Known storage) {
        return _known[below(_known.length)];
    }

    /// @dev The first is never revoked.
    function active() private returns (Known storage known) {
        known = any();
        if (known.isRevoked) known = _known[0];
    }

    function stranger() private returns (address) {
        return strangerAt(below(3));
    }

    function strangerAt(uint256 i) private pure returns (address) {
        return i == 0 ? vm.addr(STRANGER_KEY) : (i == 1 ? p256Device(STRANGER_KEY) : GATEWAY);
    }

    function below(uint256 limit) private returns (uint256) {
        _seed = uint256(keccak256(bytes.concat(bytes32(_seed))));
        return _seed % limit;
    }
}

/// @notice What the publisher, the recaller and strangers do in any order, and what should have come of it.
contract ModelHandler is Fixture {
    bytes32[] public datasetIds;
    bytes32[] public weightsDigests;
    mapping(bytes32 datasetId => bytes32 digest) public datasets;
    mapping(bytes32 weightsDigest => Model model) public models;
    uint256 public recalls;
    uint256 public meddlings;

    ModelRegistry public target = new ModelRegistry(1 days, address(this));
    uint256 private _now = NOW;

    modifier later() {
        vm.warp(++_now);
        _;
    }

    function registerDataset(uint256 seed) external later {
        Dataset memory dataset = Dataset(hash(seed, 1), uint64(1 + (seed % 9)), hash(seed, 2), 0, hash(seed, 3));
        dataset.throughBlock = uint64(block.number);
        bytes32 datasetId = keccak256(abi.encode(dataset));
        if (datasets[datasetId] != 0) return;
        target.registerDataset(dataset);
        datasetIds.push(datasetId);
        datasets[datasetId] = datasetId;
    }

    function registerModel(uint256 seed) external later {
        bytes32 weightsDigest = hash(seed, 4);
        if (datasetIds.length == 0 || models[weightsDigest].registeredAt != 0) return;
        bytes32 datasetId = datasetIds[seed % datasetIds.length];
        uint256 amount = weightsDigests.length;
        bytes32 parent = amount == 0 || seed % 4 == 0 ? bytes32(0) : weightsDigests[seed % amount];
        target.registerModel(weightsDigest, datasetId, hash(seed, 5), parent, "a task");
        models[weightsDigest] = Model(datasetId, hash(seed, 5), parent, uint32(_now), 0, keccak256("a task"));
        weightsDigests.push(weightsDigest);
    }

    function recall(uint256 seed) external later {
        if (weightsDigests.length == 0) return;
        bytes32 weightsDigest = weightsDigests[seed % weightsDigests.length];
        if (models[weightsDigest].recalledAt != 0) return;
        target.recallModel(weightsDigest, "a reason");
        models[weightsDigest].recalledAt = uint32(_now);
        ++recalls;
    }

    /// @notice A stranger does the publisher's work, or it does again what was done, with other contents where it can.
    function meddle(uint256 seed) external later {
        if (weightsDigests.length == 0) return;
        bytes32 weightsDigest = weightsDigests[seed % weightsDigests.length];
        bytes32 datasetId = models[weightsDigest].datasetId;
        uint256 way = uint256(hash(seed, 6)) % 4;
        bytes memory attempt = abi.encodeCall(
            target.registerModel,
            (way == 0 ? weightsDigest : hash(seed, 7), datasetId, hash(seed, 8), 0, "another task")
        );
        if (way == 1) attempt = abi.encodeCall(target.registerDataset, (target.datasetOf(datasetId)));
        if (way == 2) attempt = abi.encodeCall(target.recallModel, (weightsDigest, "another reason"));
        bool again = way < 2 || (way == 2 && models[weightsDigest].recalledAt != 0);
        if (!again) vm.prank(address(uint160(1 + (seed % 1000))));
        // Whatever it answers: what came of it is to show in an invariant.
        // solhint-disable-next-line avoid-low-level-calls
        (bool done, ) = address(target).call(attempt);
        if (!done) ++meddlings;
    }

    function modelOf(bytes32 weightsDigest) external view returns (Model memory) {
        return models[weightsDigest];
    }

    function datasetAmount() external view returns (uint256) {
        return datasetIds.length;
    }

    function modelAmount() external view returns (uint256) {
        return weightsDigests.length;
    }

    function hash(uint256 seed, uint256 what) private pure returns (bytes32) {
        return keccak256(bytes.concat(bytes32(seed), bytes32(what)));
    }
}
