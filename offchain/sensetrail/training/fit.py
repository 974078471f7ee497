"""Training, saving, loading and predicting.

What makes a training repeat bit for bit, on one machine and software stack, whatever the process did before:

(F1) the backend's settings (`training.backend`) and TensorFlow's deterministic kernels;
(F2) every weight starts from the configuration's seed;
(F3) the split and each epoch's order of rows come from one numpy generator, seeded by the configuration;
(F4) rows are taken in the dataset's canonical order, labels are the sorted device addresses;
(F5) nothing is carried from one training to the next: each builds its own model.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensetrail.core.reading import HUNDREDTHS
from sensetrail.errors import InputError, ManifestError
from sensetrail.training.backend import keras, tf
from sensetrail.training.configuration import CHRONOLOGICAL, DEVICE, Configuration
from sensetrail.training.network import build_device_network, build_humidity_network

if TYPE_CHECKING:
    from sensetrail.core.dataset import Rows

FORWARD_BATCH_SIZE = 8192
"""Rows a forward pass, for memory's sake."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained model and how it came to be.

    Attributes:
        model: The `keras.Model`.
        history: By epoch: "loss" and "val_loss"; for `DEVICE` "accuracy" and "val_accuracy" too.
        metrics: On the validation part: "validation_mae" and "validation_rmse", %RH, or "validation_accuracy",
            0 to 1; always "epochs", "training_rows" and "validation_rows".
        labels: The device addresses, sorted; what the model's outputs stand for. Empty for `HUMIDITY`.
    """

    model: Any
    history: dict[str, list[float]]
    metrics: dict[str, float]
    labels: tuple[str, ...]


def train(rows: Rows, configuration: Configuration) -> Trained:
    """Train the network of a configuration's task on a dataset's rows.

    Rules F1-F5 of this module's docstring: the same rows and configuration give the same bits.

    Args:
        rows: In canonical order.
        configuration: Everything else that decides the model.

    Returns:
        The model with its history and metrics; for the humidity task at its best epoch by validation loss.

    Raises:
        InputError: Too few rows to train and validate, or fewer than two devices to tell apart.
    """
    tf.config.experimental.enable_op_determinism()  # F1
    keras.utils.set_random_seed(configuration.seed)  # F2
    generator = np.random.default_rng(configuration.seed)  # F3
    training, validation = split(rows.measured_at, configuration, generator)
    order = batch_order(len(training), configuration, generator)
    steps = len(order) // configuration.epochs
    features, targets, labels = _problem(rows, configuration)
    if configuration.task == DEVICE:
        model = build_device_network(configuration, steps, len(labels))
    else:
        model = build_humidity_network(configuration, steps, features[training], targets[training])
    parts = (features[training], targets[training]), (features[validation], targets[validation])
    history = _fit(model, *parts, order, configuration)
    metrics = _metrics(model, *parts[1], configuration)
    counts = {"epochs": len(history["loss"]), "training_rows": len(training), "validation_rows": len(validation)}
    return Trained(model, history, metrics | {name: float(count) for name, count in counts.items()}, labels)


def split(
    measured_at: NDArray[np.int64], configuration: Configuration, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into a training and a validation part.

    Args:
        measured_at: Unix seconds, shape `(n,)`.
        configuration: Which split, and the fraction that validates.
        generator: Used for the shuffled split only.

    Returns:
        The rows' indices, ascending: training, validation.

    Raises:
        InputError: One of the two parts would be empty.
    """
    count = len(measured_at)
    if configuration.split == CHRONOLOGICAL and count:
        first, last = int(measured_at.min()), int(measured_at.max())
        is_late = measured_at - first > (last - first) * (1 - configuration.validation_fraction)
        training, validation = np.flatnonzero(~is_late), np.flatnonzero(is_late)
    else:
        order = generator.permutation(count)
        held_back = round(count * configuration.validation_fraction)
        training, validation = np.sort(order[held_back:]), np.sort(order[:held_back])
    if not len(training) or not len(validation):
        raise InputError(
            f"{count} rows are too few for a {configuration.split} split", "collect more readings, then train again"
        )
    return training, validation


def batch_order(count: int, configuration: Configuration, generator: np.random.Generator) -> NDArray[np.int32]:
    """Draw the order in which all epochs take the training rows (F3).

    Each batch is a systematic sample: one row, at random, out of each stretch of neighbours in canonical order, so it
    holds every device and every hour in proportion. Batch normalization learns from a batch's mean and variance; of
    plainly shuffled batches they scatter by more than two good sensors differ.

    The rows beyond an epoch's last full batch sit it out; they are others each time.

    Args:
        count: Of the training rows.
        configuration: Epochs and batch size.
        generator: Gives each epoch's order.

    Returns:
        Each step's rows, shape `(epochs * steps of an epoch, rows of a batch)`.
    """
    batch_size = min(configuration.batch_size, count)
    steps = count // batch_size
    epochs = []
    for _ in range(configuration.epochs):
        taken = np.sort(generator.permutation(count)[: steps * batch_size])
        stretches = taken.reshape(batch_size, steps)
        epochs.append(generator.permuted(stretches, axis=1).T)
    return np.concatenate(epochs).astype(np.int32)


def save(model: Any, path: Path) -> None:
    """Write a model to a `.keras` file.

    The file holds the time it was written, so two saves of one model differ: digest the weights, never the file.

    Args:
        model: A `keras.Model`.
        path: Ends in `.keras`.
    """
    model.save(path)


def load(path: Path) -> Any:
    """Read a model from a `.keras` file, to predict with.

    In Keras' safe mode: a file can say which layers there are, and cannot bring code to run.

    Args:
        path: The `.keras` file.

    Returns:
        The `keras.Model`, not compiled.

    Raises:
        ManifestError: The file is missing, or holds no such model.
    """
    if not path.is_file():
        raise ManifestError(f"there is no model at {path}", "name the file that training wrote")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ManifestError(f"{path} holds no model of ours", "restore the file that training wrote") from error


def predict_humidity(model: Any, temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predict humidity from temperature.

    Args:
        model: Of the task `HUMIDITY`.
        temperature: degC, shape `(n,)`.

    Returns:
        %RH, shape `(n,)`.
    """
    features = np.asarray(temperature, dtype=np.float32).reshape(-1, 1)
    return _outputs(model, features)[:, 0]


def predict_device(
    model: Any,
    temperature: NDArray[np.float64],
    humidity: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Predict which device measured a reading.

    Args:
        model: Of the task `DEVICE`, which tells `k` devices apart.
        temperature: degC, shape `(n,)`.
        humidity: %RH, shape `(n,)`.

    Returns:
        Probabilities, shape `(n, k)`, columns in the order of the model's labels.
    """
    return _outputs(model, np.column_stack([temperature, humidity]).astype(np.float32))


def _outputs(model: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Run a model forward, by direct calls: `model.predict` would first trace a graph for half a second."""
    parts = range(0, len(features), FORWARD_BATCH_SIZE) or [0]
    outputs = [model(tf.constant(features[at : at + FORWARD_BATCH_SIZE]), training=False).numpy() for at in parts]
    return np.concatenate(outputs).astype(np.float64)


def _problem(rows: Rows, configuration: Configuration) -> tuple[NDArray[np.float32], NDArray[Any], tuple[str, ...]]:
    """State a task's problem: what goes in, and what should come out.

    Args:
        rows: `n` of them.
        configuration: Says the task.

    Returns:
        `HUMIDITY`: temperature, degC, `(n, 1)`; humidity, %RH, `(n, 1)`; no labels.
        `DEVICE`: temperature and humidity, `(n, 2)`; each row's device by its number, int32, `(n, 1)`; the device
        addresses, sorted (F4).

    Raises:
        InputError: There are not two devices to tell apart.
    """
    temperature, humidity = (
        (column / HUNDREDTHS).astype(np.float32).reshape(-1, 1) for column in (rows.temperature, rows.humidity)
    )
    if configuration.task != DEVICE:
        return temperature, humidity, ()
    addresses, numbers = np.unique(rows.device, return_inverse=True)
    if len(addresses) < 2:
        raise InputError("telling devices apart needs rows of at least two", "add another device's readings")
    labels = tuple(str(address) for address in addresses)
    return np.hstack([temperature, humidity]), numbers.astype(np.int32).reshape(-1, 1), labels


def _fit(
    model: Any,
    training: tuple[NDArray[Any], NDArray[Any]],
    validation: tuple[NDArray[Any], NDArray[Any]],
    order: NDArray[np.int32],
    configuration: Configuration,
) -> dict[str, list[float]]:
    """Fit a model, with all epochs' batches in one stream.

    Given arrays, Keras opens new iterators for every epoch, at 60 ms; one stream and one call an epoch take 10 ms.

    Args:
        model: Compiled; its weights change.
        training: Features and targets, `(n, ...)` each.
        validation: Features and targets.
        order: Each step's training rows, `(epochs * steps of an epoch, rows of a batch)`.
        configuration: Epochs and patience.

    Returns:
        The history: each measure by epoch.
    """
    features, targets = (tf.constant(part) for part in training)

    def batch(index: Any) -> tuple[Any, Any]:
        return tf.gather(features, index), tf.gather(targets, index)

    # There is nothing to convert, and AutoGraph warns where it finds no source text.
    batches = tf.data.Dataset.from_tensor_slices(order).map(tf.autograph.experimental.do_not_convert(batch))
    stop_early = keras.callbacks.EarlyStopping(patience=configuration.patience, restore_best_weights=True)
    history = model.fit(
        batches,
        epochs=configuration.epochs,
        steps_per_epoch=len(order) // configuration.epochs,
        validation_data=tf.data.Dataset.from_tensor_slices(validation).batch(FORWARD_BATCH_SIZE),
        callbacks=[stop_early] if configuration.patience else [],
        shuffle=False,  # the order is ours (F3)
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _metrics(
    model: Any,
    features: NDArray[np.float32],
    targets: NDArray[Any],
    configuration: Configuration,
) -> dict[str, float]:
    """Measure a trained model on its validation part: accuracy, 0 to 1, or MAE and RMSE, %RH."""
    outputs = _outputs(model, features)
    if configuration.task == DEVICE:
        return {"validation_accuracy": float(np.mean(outputs.argmax(axis=1) == targets[:, 0]))}
    error = outputs - targets
    return {"validation_mae": float(np.abs(error).mean()), "validation_rmse": float(np.sqrt(np.square(error).mean()))}
