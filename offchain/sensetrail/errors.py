"""Every error Sensetrail raises in normal operation. Anything else is a bug and keeps its traceback.

SensetrailError                    exit code
|-- InputError                     2   what the user gave: files, arguments, workspace
|   |-- ReadingError                   a reading that cannot be: NaN, text, outside the format
|   |-- UnknownDeviceError             a device without a key, or not registered
|   |-- WorkspaceError                 something the command needs is not there yet, or is damaged
|   `-- DiskError                      a file that the system does not let us read or write
|       |-- DiskFullError              no room, or no more than a quota or limit allows
|       `-- ReadOnlyError              a disk, folder or file that cannot be written to
|-- KeystoreError                  3   missing or wrong password, damaged keystore
|-- ChainError                     4   node, chain or contract
|   |-- RetryableError                 may pass by itself
|   |   |-- NodeUnreachableError
|   |   |-- StoreHeldError             another indexer holds the store
|   |   `-- StoreUnreachableError      the store's database does not answer
|   |-- RefusedError                   the node answers with an error
|   |-- AnswerError                    the node's answer makes no sense
|   |-- LimitedNodeError               the node does not have what was asked for
|   |-- WrongChainError                another chain than the deployment's
|   |-- FinalityError                  the chain changed below a block that was final
|   |-- UnfundedAccountError
|   |-- RejectedError                  the registry refused what was sent
|   `-- ContractError                  a revert; one subclass for each custom error of the contracts
|-- VerificationError              5   evidence does not hold
|   |-- MalformedEventError            a log that no contract of ours can have emitted
|   |-- ManifestError                  a manifest or model file that is missing, damaged or edited
|   |-- ProofError                     what a node said does not prove
|   |-- BundleError                    a file that is no bundle, or a malicious one
|   |-- AuditError                     an audit step failed
|   `-- UnanchoredError                a model that is not anchored, or is recalled
`-- MissingExtraError              6   an optional part is not installed
"""

from __future__ import annotations

from typing import Any, ClassVar


class SensetrailError(Exception):
    """Expected in normal operation.

    Attributes:
        what: What is wrong, one line.
        to_do: What to do about it, one line.
        exit_code: The command's exit code.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, to_do: str) -> None:
        super().__init__(what)
        self.what = what
        self.to_do = to_do


class InputError(SensetrailError):
    """What the user gave cannot be used."""

    exit_code = 2


class ReadingError(InputError):
    """A reading that cannot be."""


class UnknownDeviceError(InputError):
    """A device without a key here, or not registered on the chain."""


class WorkspaceError(InputError):
    """Something the command needs is not in the workspace yet, or is damaged there."""


class DiskError(InputError):
    """The system does not let us read or write a file.

    Attributes:
        path: The file or folder; None where the system does not say.
    """

    def __init__(self, what: str, to_do: str, *, path: object = None) -> None:
        super().__init__(what, to_do)
        self.path = path


class DiskFullError(DiskError):
    """There is no room for a file, or a quota or limit allows no more."""


class ReadOnlyError(DiskError):
    """The disk, folder or file cannot be written to."""


class KeystoreError(SensetrailError):
    """A keystore that is missing, damaged, or does not open with this password."""

    exit_code = 3


class ChainError(SensetrailError):
    """The node, the chain or a contract said no."""

    exit_code = 4


class RetryableError(ChainError):
    """May pass by itself: trying again later is sensible."""


class NodeUnreachableError(RetryableError):
    """No node answers at the URL."""


class RefusedError(ChainError):
    """The node answered with an error.

    Attributes:
        code: The JSON-RPC error's code, if there is one.
    """

    def __init__(self, what: str, to_do: str, *, code: object = None) -> None:
        super().__init__(what, to_do)
        self.code = code


class AnswerError(ChainError):
    """A node's answer makes no sense: another type, a missing field, text that is not hexadecimal.

    It accuses nobody: a lie is a `ProofError`.
    """

    def __init__(self, what: str, to_do: str = "use another node") -> None:
        super().__init__(what, to_do)


class LimitedNodeError(ChainError):
    """An honest node does not have what was asked for: it pruned its history, or has not caught up."""


class WrongChainError(ChainError):
    """The node serves another chain than the deployment's.

    Attributes:
        expected: The chain the deployment is on.
        actual: The chain the node serves.
    """

    def __init__(self, what: str, to_do: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(what, to_do)
        self.expected = expected
        self.actual = actual


class FinalityError(ChainError):
    """The chain no longer has a block that was final when it was indexed."""


class StoreHeldError(RetryableError):
    """Another indexer holds the store."""


class StoreUnreachableError(RetryableError):
    """The store's database does not answer, or does not let us in."""


class UnfundedAccountError(ChainError):
    """An account without the means to pay for its transaction."""


class RejectedError(ChainError):
    """The registry did not accept what was sent."""


class ContractError(ChainError):
    """A transaction reverted.

    Attributes:
        arguments: The custom error's arguments by name.
    """

    to_do_by_default: ClassVar[str] = "check the arguments against the contract's documentation"

    def __init__(self, what: str, to_do: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        super().__init__(what, to_do or self.to_do_by_default)
        self.arguments = arguments or {}


class AccessControlUnauthorizedAccountError(ContractError):
    """The account lacks the role."""

    to_do_by_default = "use the account that holds the role, or have the admin grant it"


class SensorRegistryInvalidProfileError(ContractError):
    """A profile's least value is above its greatest."""

    to_do_by_default = "give each range as least, then greatest"


class SensorRegistryTooManyProfilesError(ContractError):
    """All 255 profile numbers are used."""

    to_do_by_default = "reuse a profile, or deploy another registry"


class SensorRegistryUnknownProfileError(ContractError):
    """There is no profile with this number."""

    to_do_by_default = "add it first: sensetrail profile add"


class SensorRegistryDeviceExistsError(ContractError):
    """The device is registered already, or was and is revoked."""

    to_do_by_default = "a device never comes back under one key: make a new one with `sensetrail device new`"


class SensorRegistryNotActiveError(ContractError):
    """The device was never registered, or is revoked already."""

    to_do_by_default = "see what is registered: sensetrail device list"


class SensorRegistryZeroDeviceError(ContractError):
    """The zero address is no device."""

    to_do_by_default = "give the device's own address"


class ModelRegistryEmptyDatasetError(ContractError):
    """A dataset has a root and at least one row."""

    to_do_by_default = "index more readings first"


class ModelRegistryDatasetExistsError(ContractError):
    """The dataset is registered already."""

    to_do_by_default = "nothing: it is anchored"


class ModelRegistryUnknownDatasetError(ContractError):
    """There is no such dataset."""

    to_do_by_default = "anchor the dataset first"


class ModelRegistryWrongBlockHashError(ContractError):
    """The chain knows the dataset's last block under another hash."""

    to_do_by_default = "the chain was reorganised: index again and rebuild the dataset"


class ModelRegistryZeroDigestError(ContractError):
    """Zero stands for no model and cannot be one's digest."""

    to_do_by_default = "give the model's weights digest"


class ModelRegistryModelExistsError(ContractError):
    """The model is registered already."""

    to_do_by_default = "nothing: these weights are anchored"


class ModelRegistryUnknownModelError(ContractError):
    """There is no such model."""

    to_do_by_default = "anchor it first: sensetrail anchor MODEL"


class ModelRegistryAlreadyRecalledError(ContractError):
    """The model is recalled already."""

    to_do_by_default = "nothing: it is recalled"


class VerificationError(SensetrailError):
    """Evidence does not hold.

    Attributes:
        expected: What it should have been.
        actual: What it is.
    """

    exit_code = 5

    def __init__(self, what: str, to_do: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(what, to_do)
        self.expected = expected
        self.actual = actual


class MalformedEventError(VerificationError):
    """A log that no contract of ours can have emitted."""


class ProofError(VerificationError):
    """What a node said does not prove: it does not tell the truth, or serves another chain.

    Attributes:
        step: Where it was caught: anchor, headers, receipts, logs, finality or heads.
    """

    def __init__(self, step: str, what: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(
            f"step {step}: {what}", "read from another node; nothing false was stored", expected=expected, actual=actual
        )
        self.step = step


class ManifestError(VerificationError):
    """A manifest or model file that is missing, damaged or edited."""


class BundleError(VerificationError):
    """A file that is no bundle, or a malicious one."""


class AuditError(VerificationError):
    """An audit step failed."""


class UnanchoredError(VerificationError):
    """A model that is not anchored, or is recalled."""


class MissingExtraError(SensetrailError):
    """An optional part of the package is not installed."""

    exit_code = 6
