// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What a device signs of a batch (EIP-712)
/// @notice `Batch(uint256 header,bytes data)` in the domain ("Sensetrail", "1", chain, this contract). The chain and the
/// contract are asked for each time: a fork of the chain is another domain, and the contract needs no immutables.
/// @dev Hashed beyond the free memory pointer without moving it, as nothing outlives the hash.
library TypedData {
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 private constant NAME_HASH = keccak256("Sensetrail");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant BATCH_TYPEHASH = keccak256("Batch(uint256 header,bytes data)");

    /// @notice EIP-712, "Definition of domainSeparator".
    function domainSeparator() internal view returns (bytes32 separator) {
        (bytes32 domain, bytes32 name, bytes32 version) = (DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH);
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, domain)
            mstore(add(free, 0x20), name)
            mstore(add(free, 0x40), version)
            mstore(add(free, 0x60), chainid())
            mstore(add(free, 0x80), address())
            separator := keccak256(free, 0xa0)
        }
    }

    /// @notice EIP-712, "Specification of the eth_signTypedData".
    /// @param separator The domain separator.
    /// @param dataDigest keccak256 of the data, its encoding as a member of the struct.
    function digest(bytes32 separator, uint256 header, bytes32 dataDigest) internal pure returns (bytes32 value) {
        bytes32 batch = BATCH_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, batch)
            mstore(add(free, 0x20), header)
            mstore(add(free, 0x40), dataDigest)
            let structHash := keccak256(free, 0x60)
            mstore(free, shl(240, 0x1901))
            mstore(add(free, 0x02), separator)
            mstore(add(free, 0x22), structHash)
            value := keccak256(free, 0x42)
        }
    }
}
