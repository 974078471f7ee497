"""The traceability experiment (paper 2.2, Figures 3 and 4): which device measured a reading.

The paper splits shuffled rows, so that a validating row's neighbours in time train. The chronological split beside it
says what the model is worth on a night it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensetrail.training.configuration import CHRONOLOGICAL, SHUFFLED, Configuration
from sensetrail.training.fit import Trained, train

if TYPE_CHECKING:
    from sensetrail.core.dataset import Rows


@dataclass(frozen=True, slots=True, eq=False)
class TraceabilityResult:
    """What the traceability experiment found.

    Attributes:
        shuffled: The paper's split: the model to anchor, and Figure 4's history ("loss", "accuracy", "val_loss",
            "val_accuracy" by epoch).
        chronological: The first part of the time trains, the rest validates.
        accuracies: Validation accuracy on the shuffled split of `shuffled` and of every further seed, shape `(s,)`:
            one alone, on a few hundred rows, is a matter of luck by a point or two.
    """

    shuffled: Trained
    chronological: Trained
    accuracies: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Validation accuracy on the shuffled split, 0 to 1; the paper's is 0.9239."""
        return self.shuffled.metrics["validation_accuracy"]

    @property
    def chronological_accuracy(self) -> float:
        """Validation accuracy on the chronological split, 0 to 1."""
        return self.chronological.metrics["validation_accuracy"]


def run_traceability(
    rows: Rows, configuration: Configuration, on_step: Callable[[str], None], further_seeds: Sequence[int] = ()
) -> TraceabilityResult:
    """Run the traceability experiment.

    Args:
        rows: The legal readings of two devices or more.
        configuration: Of the task `DEVICE`; its split is replaced by each of the two.
        on_step: Told each training before it begins.
        further_seeds: Trained on the shuffled split as well, for the spread of its accuracy.

    Returns:
        Both splits' models with their histories and metrics.

    Raises:
        InputError: Fewer than two devices, or too few rows to train and validate.
    """
    trained = {}
    for split in (SHUFFLED, CHRONOLOGICAL):
        on_step(f"device model, {split} split")
        trained[split] = train(rows, configuration.with_split(split))
    accuracies = [trained[SHUFFLED].metrics["validation_accuracy"]]
    for seed in further_seeds:
        on_step(f"device model, shuffled split, seed {seed}")
        again = train(rows, configuration.with_split(SHUFFLED).with_seed(seed))
        accuracies.append(again.metrics["validation_accuracy"])
    return TraceabilityResult(trained[SHUFFLED], trained[CHRONOLOGICAL], np.array(accuracies))
