"""Keras and TensorFlow, imported in this one place: quiet, and set up so that a training repeats bit for bit.

TensorFlow reads its environment once, while it is imported, so what follows is set before that and cannot be changed
by whoever calls us: weights that depend on a forgotten shell variable could not be audited.

- `CUDA_VISIBLE_DEVICES=-1`: these networks are too small for a GPU, which would round differently and start slowly.
- `TF_NUM_INTRAOP_THREADS`, `TF_NUM_INTEROP_THREADS` = 1: a sum split over the threads depends on how many there are.
- `TF_ENABLE_ONEDNN_OPTS=0`: oneDNN chooses its order of summation by the processor it finds.
- `KERAS_BACKEND=tensorflow`: the backend the digests were made with, whatever `~/.keras/keras.json` says.
- `TF_CPP_MIN_LOG_LEVEL=3`: errors only.

A process that imported tensorflow before this module keeps its own settings; retrain in a process of its own then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sensetrail.errors import MissingExtraError

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep file descriptor 2 silent: TensorFlow 2.21 logs "Could not find cuda drivers" past every log level.

    Only C++ logging is lost; a failing import still raises its Python exception.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _load() -> tuple[Any, Any]:
    """Import keras and tensorflow under `ENVIRONMENT`.

    Returns:
        The modules keras and tensorflow.

    Raises:
        MissingExtraError: One of them is not installed.
    """
    os.environ.update(ENVIRONMENT)
    try:
        with _quiet_stderr():
            import keras
            import tensorflow
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed, and training needs it", "pip install 'sensetrail[train]'"
        ) from error
    return keras, tensorflow


keras, tf = _load()
