"""Figures, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sensetrail.report.section import Figure

TRAINING, VALIDATION, PAPER = "#1f77b4", "#d95f02", "#666666"


def figure_4(history: Mapping[str, Sequence[float]], paper_accuracy: float) -> Figure:
    """Draw the paper's Figure 4: loss and accuracy by epoch, of the training and of the validation part.

    Args:
        history: "loss", "val_loss", "accuracy" and "val_accuracy" by epoch.
        paper_accuracy: The validation accuracy that the paper reports, 0 to 1.

    Returns:
        The figure, 1600 x 640 pixels.
    """
    canvas = Canvas(figsize=(10, 4), dpi=160, layout="constrained")
    FigureCanvasAgg(canvas)
    loss, accuracy = canvas.subplots(1, 2)
    _curves(loss, history["loss"], history["val_loss"], "log loss, Eq. (4)")
    _curves(accuracy, history["accuracy"], history["val_accuracy"], "accuracy")
    accuracy.axhline(paper_accuracy, color=PAPER, linestyle=":", label=f"paper, validation: {paper_accuracy:.2%}")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    accuracy.legend(loc="lower right", frameon=False)
    loss.legend(loc="upper right", frameon=False)
    canvas.suptitle("Telling the device from one (temperature, humidity) pair")
    buffer = io.BytesIO()
    # No software version in the file: the same history gives the same bytes on the same matplotlib.
    canvas.savefig(buffer, format="png", metadata={"Software": None})
    final = history["val_accuracy"][-1]
    return Figure(
        buffer.getvalue(),
        f"Loss falls and accuracy rises over {len(history['loss'])} epochs; validation accuracy ends at {final:.2%}.",
    )


def _curves(axes: Axes, training: Sequence[float], validation: Sequence[float], label: str) -> None:
    epochs = range(1, len(training) + 1)
    axes.plot(epochs, training, color=TRAINING, label="training")
    axes.plot(epochs, validation, color=VALIDATION, label="validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
