// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A dataset: the legal readings that a selection takes from the chain up to a block.
/// @param root Merkle root over its rows (OpenZeppelin's standard tree).
/// @param rowCount How many rows.
/// @param selectionDigest keccak256 of the selection's canonical JSON.
/// @param throughBlock The last block whose events were taken.
/// @param blockHash That block's hash.
struct Dataset {
    bytes32 root;
    uint64 rowCount;
    bytes32 selectionDigest;
    uint64 throughBlock;
    bytes32 blockHash;
}

/// @notice A model.
/// @param datasetId The dataset it was trained on.
/// @param manifestDigest keccak256 of its manifest's canonical JSON.
/// @param parent Weights digest of the model it succeeds; 0 for none.
/// @param registeredAt Block time of its registration, Unix seconds.
/// @param recalledAt Block time of its recall, Unix seconds; 0 while in force.
/// @param task keccak256 of the task's name, such as "humidity-from-temperature".
struct Model {
    bytes32 datasetId;
    bytes32 manifestDigest;
    bytes32 parent;
    uint32 registeredAt;
    uint32 recalledAt;
    bytes32 task;
}

/// @title Register of datasets and models
/// @notice What was learned, from what, and whether it still stands. Records never change, but for a model's recall.
interface IModelRegistry {
    /// @notice A dataset was registered.
    /// @param blockHashChecked Whether the chain itself still knew the hash of `throughBlock`, and it was right.
    event DatasetRegistered(bytes32 indexed datasetId, Dataset dataset, bool blockHashChecked);

    /// @notice A model was registered under its weights digest.
    event ModelRegistered(
        bytes32 indexed weightsDigest,
        bytes32 indexed datasetId,
        bytes32 manifestDigest,
        bytes32 indexed parent,
        string task
    );

    /// @notice A model was recalled: it is not to be used any more.
    event ModelRecalled(bytes32 indexed weightsDigest, string reason);

    /// @notice A dataset has a root and at least one row.
    error ModelRegistryEmptyDataset();

    /// @notice This dataset is registered already.
    error ModelRegistryDatasetExists(bytes32 datasetId);

    /// @notice There is no such dataset.
    error ModelRegistryUnknownDataset(bytes32 datasetId);

    /// @notice The chain knows `throughBlock` under another hash, or does not have it yet.
    error ModelRegistryWrongBlockHash(uint64 throughBlock, bytes32 expected, bytes32 actual);

    /// @notice Zero stands for no model and cannot be one's digest.
    error ModelRegistryZeroDigest();

    /// @notice This model is registered already.
    error ModelRegistryModelExists(bytes32 weightsDigest);

    /// @notice There is no such model.
    error ModelRegistryUnknownModel(bytes32 weightsDigest);

    /// @notice This model is recalled already.
    error ModelRegistryAlreadyRecalled(bytes32 weightsDigest);

    /// @notice Registers a dataset. Publisher only.
    /// @dev While `throughBlock` is one of the last 256 blocks, its hash is checked against the chain's own.
    /// @return datasetId keccak256 of the ABI-encoded `dataset`.
    function registerDataset(Dataset calldata dataset) external returns (bytes32 datasetId);

    /// @notice Registers a model. Publisher only.
    function registerModel(
        bytes32 weightsDigest,
        bytes32 datasetId,
        bytes32 manifestDigest,
        bytes32 parent,
        string calldata task
    ) external;

    /// @notice Recalls a model for good. Recaller only.
    function recallModel(bytes32 weightsDigest, string calldata reason) external;

    /// @notice A registered dataset; all zero where there is none.
    function datasetOf(bytes32 datasetId) external view returns (Dataset memory);

    /// @notice A registered model; all zero where there is none.
    function modelOf(bytes32 weightsDigest) external view returns (Model memory);

    /// @notice Whether a row's leaf is in a dataset.
    /// @param leaf The row's double-hashed leaf.
    /// @param inclusionProof Sibling hashes from the leaf up.
    function includesRow(
        bytes32 datasetId,
        bytes32 leaf,
        bytes32[] calldata inclusionProof
    ) external view returns (bool);
}
