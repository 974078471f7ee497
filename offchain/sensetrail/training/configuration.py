"""Configurations: everything that decides a model, apart from its data and the environment.

A configuration goes into the model's manifest, and an auditor retrains from it. So reading one is strict: a key that
is missing, unknown or of another type is an edited manifest, not a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from sensetrail.errors import ManifestError

HUMIDITY = "humidity-from-temperature"
"""Task of the validity experiment (paper 2.1): humidity, %RH, from temperature, degC."""
DEVICE = "device-from-reading"
"""Task of the traceability experiment (paper 2.2): the device, from temperature and humidity."""
SHUFFLED = "shuffled"
"""Rows drawn at random validate, as in the paper; their neighbours in time train."""
CHRONOLOGICAL = "chronological"
"""The first part of the time trains, the rest validates."""

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "tuple[int, ...]": list}
_TO_DO = "restore the manifest as it was written when the model was trained"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that decides a model, apart from its data.

    Attributes:
        task: `HUMIDITY` or `DEVICE`.
        hidden_units: Units of each hidden layer, first to last.
        epochs: Passes over the training rows, at most.
        batch_size: Rows a step.
        learning_rate: Eq. (1)'s initial rate.
        decay_steps: Eq. (1)'s steps for one factor of `decay_rate`.
        decay_rate: Eq. (1)'s factor, above 0, at most 1.
        patience: Epochs without a better validation loss before training stops; 0: all epochs, always.
        validation_fraction: Part of the rows (shuffled) or of the time (chronological) that validates.
        split: `SHUFFLED` or `CHRONOLOGICAL`.
        seed: Of the weights, the split and the order of the rows; 0 to 2^32 - 1.
    """

    task: str
    hidden_units: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    decay_steps: int
    decay_rate: float
    patience: int
    validation_fraction: float
    split: str
    seed: int

    def __post_init__(self) -> None:
        valid = {
            "task": self.task in (HUMIDITY, DEVICE),
            "split": self.split in (SHUFFLED, CHRONOLOGICAL),
            "hidden_units": len(self.hidden_units) > 0 and all(0 < units <= 4096 for units in self.hidden_units),
            "epochs": self.epochs > 0,
            "batch_size": self.batch_size > 0,
            "learning_rate": 0 < self.learning_rate < float("inf"),
            "decay_steps": self.decay_steps > 0,
            "decay_rate": 0 < self.decay_rate <= 1,
            "patience": self.patience >= 0,
            "validation_fraction": 0 < self.validation_fraction < 1,
            "seed": 0 <= self.seed < 2**32,
        }
        for name, is_valid in valid.items():
            if not is_valid:
                raise ManifestError(f"the configuration's {name} cannot be {getattr(self, name)!r}", _TO_DO)

    def with_seed(self, seed: int) -> Configuration:
        """The same configuration under another seed."""
        return replace(self, seed=seed)

    def with_split(self, split: str) -> Configuration:
        """The same configuration with another split."""
        return replace(self, split=split)

    def to_json(self) -> dict[str, object]:
        """The configuration as a JSON object, for the manifest.

        Returns:
            Every field by name; `hidden_units` as a list.
        """
        return {**asdict(self), "hidden_units": list(self.hidden_units)}

    @classmethod
    def from_json(cls, value: object) -> Configuration:
        """Read a configuration back out of a manifest.

        Args:
            value: What `to_json` gave, parsed from JSON.

        Returns:
            The configuration.

        Raises:
            ManifestError: A key is missing or unknown, or a value is of another type or cannot be.
        """
        if not isinstance(value, Mapping):
            raise ManifestError("the configuration is not a JSON object", _TO_DO)
        expected = {field.name for field in fields(cls)}
        for name in sorted(expected ^ {str(key) for key in value}):
            fault = "is missing" if name in expected else "is unknown"
            raise ManifestError(f"the configuration's {name} {fault}", _TO_DO)
        for field in fields(cls):
            # Not isinstance: JSON's true is no seed of 1, and its 1 no learning rate of 1.0.
            if type(value[field.name]) is not _TYPES[str(field.type)]:
                raise ManifestError(f"the configuration's {field.name} is not of type {field.type}", _TO_DO)
        if any(type(units) is not int for units in value["hidden_units"]):
            raise ManifestError("the configuration's hidden_units are not all whole numbers", _TO_DO)
        return cls(**{**value, "hidden_units": tuple(value["hidden_units"])})


DEFAULT_HUMIDITY = Configuration(
    task=HUMIDITY,
    hidden_units=(32, 32),
    epochs=60,
    batch_size=64,
    learning_rate=0.01,
    decay_steps=120,
    decay_rate=0.8,
    patience=15,
    validation_fraction=0.2,
    split=SHUFFLED,
    seed=0,
)
"""The validity experiment's configuration."""

DEFAULT_DEVICE = Configuration(
    task=DEVICE,
    hidden_units=(128, 128, 64),
    epochs=30,
    batch_size=128,
    learning_rate=0.005,
    decay_steps=30,
    decay_rate=0.8,
    patience=0,
    validation_fraction=0.2,
    split=SHUFFLED,
    seed=0,
)
"""The traceability experiment's configuration."""

DEFAULTS = {HUMIDITY: DEFAULT_HUMIDITY, DEVICE: DEFAULT_DEVICE}
"""The configuration each task starts from."""
