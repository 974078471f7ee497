"""The validity experiment (paper 2.1, Figure 2, Table 1): what removing illegal data is worth.

One stream of readings, attacks included, trains the same network twice: (a) "chain": what the contract judged legal;
(b) "direct": everything. Each model goes the paper's way: train, save, load, predict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.reading import HUNDREDTHS
from sensetrail.errors import InputError
from sensetrail.training.configuration import Configuration
from sensetrail.training.fit import Trained, load, predict_humidity, save, train

if TYPE_CHECKING:
    from sensetrail.core.dataset import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A figure over the seeds.

    Attributes:
        mean: Its mean, any shape.
        deviation: Its sample standard deviation, same shape.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def over_seeds(cls, values: NDArray[np.float64]) -> Spread:
        """Take mean and sample standard deviation over the first axis."""
        return cls(np.asarray(values.mean(axis=0)), np.asarray(values.std(axis=0, ddof=1)))


@dataclass(frozen=True, slots=True, eq=False)
class SourceResult:
    """What the models of one source reached, `s` seeds at `p` temperatures.

    Attributes:
        predictions: %RH, shape `(s, p)`.
        mae: On the held-out rows, %RH, shape `(s,)`.
        rmse: On the held-out rows, %RH, shape `(s,)`.
    """

    predictions: NDArray[np.float64]
    mae: NDArray[np.float64]
    rmse: NDArray[np.float64]

    @property
    def prediction(self) -> Spread:
        """The predictions over the seeds, %RH, shape `(p,)`."""
        return Spread.over_seeds(self.predictions)

    @property
    def mean_absolute_error(self) -> Spread:
        """The held-out MAE over the seeds, %RH, a scalar."""
        return Spread.over_seeds(self.mae)

    @property
    def root_mean_square_error(self) -> Spread:
        """The held-out RMSE over the seeds, %RH, a scalar."""
        return Spread.over_seeds(self.rmse)


@dataclass(frozen=True, slots=True, eq=False)
class ValidityResult:
    """What the validity experiment found.

    Attributes:
        temperatures: degC, shape `(p,)`.
        chain: Trained on what the contract judged legal.
        direct: Trained on everything.
        trained: The chain's model of the first seed: the one to anchor.
    """

    temperatures: NDArray[np.float64]
    chain: SourceResult
    direct: SourceResult
    trained: Trained


def run_validity(
    chain: Rows,
    direct: Rows,
    held_out: Rows,
    temperatures: Sequence[float],
    configuration: Configuration,
    seeds: Sequence[int],
    on_step: Callable[[str], None],
    folder: Path,
) -> ValidityResult:
    """Run the validity experiment.

    Args:
        chain: The legal readings.
        direct: The same stream's readings, illegal ones included.
        held_out: Clean readings that neither source contains.
        temperatures: Where to compare, degC.
        configuration: Of the task `HUMIDITY`; its seed is replaced by each of `seeds`.
        seeds: Two or more, for the spread; the first one's chain model is kept.
        on_step: Told each training before it begins.
        folder: For the models on their way through a file; the caller's to remove.

    Returns:
        Both sources' predictions and errors.

    Raises:
        InputError: Fewer than two seeds, no held-out rows, or too few rows to train on.
    """
    if len(seeds) < 2 or not len(held_out):
        raise InputError("the experiment needs two seeds and a held-out row at least", "give more seeds or readings")
    points = np.asarray(temperatures, dtype=np.float64)
    results: list[SourceResult] = []
    kept: list[Trained] = []
    for name, rows in (("chain", chain), ("direct", direct)):
        predictions, errors = [], []
        for seed in seeds:
            on_step(f"{name} model, seed {seed}")
            trained = train(rows, configuration.with_seed(seed))
            kept.append(trained)
            path = folder / f"{name}-{seed}.keras"
            save(trained.model, path)
            model = load(path)
            predictions.append(predict_humidity(model, points))
            measured = held_out.humidity / HUNDREDTHS
            errors.append(predict_humidity(model, held_out.temperature / HUNDREDTHS) - measured)
        error = np.stack(errors)
        results.append(
            SourceResult(np.stack(predictions), np.abs(error).mean(axis=1), np.sqrt(np.square(error).mean(axis=1)))
        )
    return ValidityResult(points, results[0], results[1], kept[0])
