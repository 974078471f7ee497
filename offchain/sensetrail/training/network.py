"""The paper's two networks.

Every layer and every model has a name of its own here. Keras' automatic names count through the process ("dense_7"),
so the same network built twice would have two digests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensetrail.training.backend import keras
from sensetrail.training.configuration import Configuration

BATCH_NORMALIZATION_MOMENTUM = 0.5
"""Of the moving statistics, which validation and prediction use. An epoch has some ten steps, and each batch is a
systematic sample, so its statistics hardly scatter: Keras' 0.99, made for thousands of steps, would still hold nine
tenths of its starting values after the first epoch, and validation would be chance; 0.5 has forgotten them."""


def build_humidity_network(
    configuration: Configuration, steps: int, temperature: NDArray[np.float32], humidity: NDArray[np.float32]
) -> Any:
    """Build and compile the network of the validity experiment.

    Temperature, degC -> normalization -> ReLU layers -> humidity, %RH. The statistics of the normalization are
    weights, so the saved model takes plain degrees.

    Args:
        configuration: Its layers and rates.
        steps: An epoch's; Keras runs them all in one call.
        temperature: The training part's, degC, shape `(n, 1)`; only these adapt the normalization.
        humidity: The training part's, %RH, shape `(n, 1)`.

    Returns:
        The compiled `keras.Model`, `(n, 1)` to `(n, 1)`.
    """
    normalization = keras.layers.Normalization(axis=-1, name="normalization")
    normalization.adapt(temperature)
    source = keras.Input((1,), name="temperature")
    tensor = normalization(source)
    for number, units in enumerate(configuration.hidden_units, start=1):
        tensor = keras.layers.Dense(units, activation="relu", name=f"hidden_{number}")(tensor)
    output = keras.layers.Dense(1, name="humidity")
    model = keras.Model(source, output(tensor), name="humidity_from_temperature")
    # Start at the mean: from zero the rate of Eq. (1) would be spent on climbing to some 75 %RH.
    output.bias.assign(humidity.mean(axis=0))
    model.compile(
        optimizer=_optimizer(configuration),
        loss=keras.losses.MeanSquaredError(),  # Eq. (3)
        steps_per_execution=steps,
        jit_compile=False,
    )
    return model


def build_device_network(configuration: Configuration, steps: int, devices: int) -> Any:
    """Build and compile the network of the traceability experiment.

    Temperature, degC, and humidity, %RH -> batch normalization -> ReLU layers, batch-normalized before each ReLU -> a
    probability for each device. Temperature and humidity of one room nearly lie on a line, and what tells two sensors
    apart is the little beside it: normalizing the hidden layers too lets 30 epochs suffice to find it.

    Args:
        configuration: Its layers and rates.
        steps: An epoch's; Keras runs them all in one call.
        devices: How many devices there are to tell apart.

    Returns:
        The compiled `keras.Model`, `(n, 2)` to `(n, devices)`.
    """
    source = keras.Input((2,), name="reading")
    tensor = _batch_normalization("batch_normalization")(source)
    for number, units in enumerate(configuration.hidden_units, start=1):
        tensor = keras.layers.Dense(units, name=f"hidden_{number}")(tensor)
        tensor = _batch_normalization(f"batch_normalization_{number}")(tensor)
        tensor = keras.layers.ReLU(name=f"relu_{number}")(tensor)
    tensor = keras.layers.Dense(devices, activation="softmax", name="device")(tensor)
    model = keras.Model(source, tensor, name="device_from_reading")
    model.compile(
        optimizer=_optimizer(configuration),
        loss=keras.losses.SparseCategoricalCrossentropy(),  # Eq. (4), log loss
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        steps_per_execution=steps,
        jit_compile=False,
    )
    return model


def _batch_normalization(name: str) -> Any:
    """Make a batch normalization layer."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORMALIZATION_MOMENTUM, name=name)


def _optimizer(configuration: Configuration) -> Any:
    """Adam, Eq. (2), at a rate that decays exponentially with the steps, Eq. (1)."""
    rate = keras.optimizers.schedules.ExponentialDecay(
        configuration.learning_rate, configuration.decay_steps, configuration.decay_rate
    )
    return keras.optimizers.Adam(rate)
