// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DeviceState, Profile, Rejection, SignedBatch} from "../../contracts/interfaces/ISensorRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice The longest batches, made as dear as they can be, fit into one transaction.
/// @dev Each call is a transaction of its own here, so that its gas is a transaction's.
/// hardhat-config: isolate = true
contract LimitTest is Fixture {
    uint256 private constant TRANSACTION_LIMIT = 2 ** 24;
    uint16 private constant LIMIT = 10_000;
    uint256 private constant SECURE_KEY = uint256(keccak256("a secure element's key")) >> 1;

    address private secure;
    uint256 private worst;
    string private worstName;

    function setUp() public override {
        super.setUp();
        secure = p256Device(SECURE_KEY);
        registry.addProfile(Profile(2000, 2000, 0, 5000, 5000, 0, 0));
        registry.registerDevice(secure, 2, IDENTITY);
        DeviceState memory state = DeviceState(2, 2 ** 16 - 1, -(2 ** 15), 1, 1, bytes20(keccak256("head")));
        setSlotOf(device, packState(state));
        setSlotOf(secure, packState(state));
    }

    function test_gasIsATransactions() public {
        registry.submitBatches(new SignedBatch[](0));
        require(vm.lastCallGas().gasTotalUsed > 21_000, "without the transaction's own gas");
    }

    function test_countAtTheLimit() public {
        string[4] memory names = ["", "timed", "regular", "delta"];
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            measure(string.concat(names[format], ", times that hold"), format, NOW - 20_000, 1);
            measure(string.concat(names[format], ", all in the past"), format, 0, 0);
            measure(string.concat(names[format], ", in the future at last"), format, NOW - 1, 1);
            measure(string.concat(names[format], ", all in the future"), format, NOW + 1, 1);
        }
        // Contracts that report each statement to the coverage's collector cost more, and are longer than a chain takes.
        if (address(registry).code.length > 24_576) return;
        require(worst <= TRANSACTION_LIMIT, string.concat(worstName, ": ", vm.toString(worst), " gas"));
    }

    function test_countAboveTheLimit() public {
        for (uint8 format = TIMED; format <= DELTA; ++format) {
            uint256 header = pack(device, uint32(NOW), 1, 1, LIMIT + 1, format);
            rejects(sign(DEVICE_KEY, header, new bytes(lengthOf(header))), Rejection.Malformed);
            header = pack(device, uint32(NOW), 1, 1, 2 ** 16 - 1, format);
            rejects(sign(DEVICE_KEY, header, new bytes(lengthOf(header))), Rejection.Malformed);
        }
    }

    function measure(string memory name, uint8 format, uint256 start, uint16 gap) private {
        bytes memory data = illegal(format, gap);
        bytes32 before = slotOf(device);
        uint256 header = pack(device, uint32(start), gap, 1, LIMIT, format);
        spend(name, sign(DEVICE_KEY, header, data));
        setSlotOf(device, before);
        // The dearest signature: of P-256, on a chain that does not know it.
        header = pack(secure, uint32(start), gap, 1, LIMIT, format);
        vm.mockCall(address(0x100), "", "");
        spend(string.concat(name, ", P-256 in Solidity"), signP256(SECURE_KEY, header, data));
        vm.clearMockedCalls();
        setSlotOf(secure, before);
    }

    function spend(string memory name, SignedBatch memory batch) private {
        (Rejection rejection, uint256 count) = submit(batch);
        uint256 gas_ = vm.lastCallGas().gasTotalUsed;
        print(name, gas_);
        assertEq(rejection, Rejection.None);
        assertEq(count, LIMIT, "illegal");
        if (gas_ > worst) (worst, worstName) = (gas_, name);
    }

    /// @dev To Hardhat's console.
    function print(string memory name, uint256 value) private view {
        address console = 0x000000000000000000636F6e736F6c652e6c6f67;
        (bool success, ) = console.staticcall(abi.encodeWithSignature("log(string,uint256)", name, value));
        require(success, "console");
    }

    /// @dev Every reading breaks both ranges and both steps, and no word of them fits the lanes.
    function illegal(uint8 format, uint16 gap) private pure returns (bytes memory data) {
        data = new bytes(lengthOf(pack(address(0), 0, 0, 0, LIMIT, format)));
        uint256 width = format == TIMED ? 6 : 4;
        for (uint256 i = 0; i < (format == DELTA ? 1 : LIMIT); ++i) {
            bytes memory reading = abi.encodePacked(
                gap,
                i % 2 == 0 ? int16(2 ** 15 - 1) : int16(-(2 ** 15) + 1),
                i % 2 == 0 ? uint16(2 ** 15 - 1) : uint16(2 ** 16 - 1)
            );
            for (uint256 j = 0; j < width; ++j) data[i * width + j] = reading[6 - width + j];
        }
        if (format != DELTA) return data;
        for (uint256 i = 4; i < data.length; ++i) data[i] = i % 4 < 2 ? bytes1(0xff) : bytes1(0x01);
    }
}
