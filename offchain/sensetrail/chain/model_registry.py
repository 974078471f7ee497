"""The ModelRegistry contract."""

from __future__ import annotations

from collections.abc import Sequence

from eth_account.signers.local import LocalAccount

from sensetrail.chain.answers import Receipt
from sensetrail.chain.artifact import MODEL_REGISTRY
from sensetrail.chain.contract import Contract
from sensetrail.core.dataset import DatasetRecord
from sensetrail.core.manifest import Manifest
from sensetrail.core.primitives import ZERO_WORD, keccak256
from sensetrail.core.storage import ModelRecord


class ModelRegistry(Contract):
    """Datasets and models."""

    NAME = MODEL_REGISTRY

    def register_dataset(self, publisher: LocalAccount, record: DatasetRecord) -> Receipt:
        """Register a dataset."""
        return self.transact(publisher, "registerDataset", record.as_tuple())

    def register_model(
        self,
        publisher: LocalAccount,
        weights_digest: bytes,
        dataset_id: bytes,
        manifest_digest: bytes,
        task: str,
        parent: bytes = ZERO_WORD,
    ) -> Receipt:
        """Register a model under its weights digest."""
        return self.transact(publisher, "registerModel", weights_digest, dataset_id, manifest_digest, parent, task)

    def anchor(self, publisher: LocalAccount, manifest: Manifest) -> list[Receipt]:
        """Register a model and, unless it is there, its dataset.

        Args:
            publisher: Pays; holds the publisher's role.
            manifest: The model's.

        Returns:
            The receipts; none where both are anchored already.

        Raises:
            ModelRegistryModelExistsError: These weights are anchored under another manifest.
        """
        receipts = []
        if self.dataset(manifest.dataset.dataset_id) != manifest.dataset:
            receipts.append(self.register_dataset(publisher, manifest.dataset))
        if self.model(manifest.weights_digest).manifest_digest != manifest.digest:
            receipts.append(
                self.register_model(
                    publisher,
                    manifest.weights_digest,
                    manifest.dataset.dataset_id,
                    manifest.digest,
                    manifest.task,
                    manifest.parent,
                )
            )
        return receipts

    def recall_model(self, recaller: LocalAccount, weights_digest: bytes, reason: str) -> Receipt:
        """Recall a model for good."""
        return self.transact(recaller, "recallModel", weights_digest, reason)

    def dataset(self, dataset_id: bytes) -> DatasetRecord:
        """Give a registered dataset; all zero where there is none."""
        return DatasetRecord(*self.read("datasetOf", dataset_id))

    def model(self, weights_digest: bytes) -> ModelRecord:
        """Give a registered model; all zero where there is none."""
        return ModelRecord(*self.read("modelOf", weights_digest))

    def includes_row(self, dataset_id: bytes, leaf: bytes, inclusion_proof: Sequence[bytes]) -> bool:
        """Ask the contract whether a row's leaf is in a dataset."""
        return bool(self.read("includesRow", dataset_id, leaf, list(inclusion_proof)))


def task_digest(task: str) -> bytes:
    """Give a task's name as the registry stores it, 32 bytes."""
    return keccak256(task.encode())
