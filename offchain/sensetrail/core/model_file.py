"""Model files: a `.keras` file's architecture and weights without Keras, and the digest over them.

A `.keras` file holds the time of its saving and the addresses of objects in memory, so two saves of one model differ.
The digest `sensetrail-keras-v1:keccak256` is over what the model is: the canonical JSON of its architecture (without
`compile_config`, `build_config` and `shared_object_id`, which say how it was made), then every weight array in the
order of its path, as path, dtype, shape and little-endian bytes.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sensetrail.core.canonical import canonical_json, parse_json
from sensetrail.core.primitives import keccak256
from sensetrail.errors import ManifestError

WEIGHTS_ALGORITHM = "sensetrail-keras-v1:keccak256"
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    RuntimeError,
)
"""All that zipfile and h5py raise on damaged files."""
MAX_DEPTH = 16
"""Levels of groups: Keras' own files have three."""
MAX_ITEMS = 100_000
"""Groups and arrays in a file."""
MEMBER_LIMITS = {"config.json": 16 << 20, "model.weights.h5": 4 << 30}
"""The largest member sizes that are read, bytes: a model file may be a bomb."""
_KIND = re.compile(r"([<|][biuf][1248])\[((?:\d{1,10}, )*\d{0,10})\]")
"""An array's dtype and shape, as `encode` writes them."""
NOT_ARCHITECTURE = frozenset({"compile_config", "build_config", "shared_object_id"})


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """What a model is.

    Attributes:
        architecture: Its configuration as JSON, without what says how it was made.
        arrays: Path to array of every weight, in the order of the paths.
        data: The file's bytes: what is to be loaded is what was verified.
    """

    architecture: Any
    arrays: dict[str, NDArray[Any]]
    data: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The `sensetrail-keras-v1:keccak256` digest, 32 bytes."""
        return keccak256(self.encode())

    def encode(self) -> bytes:
        """Give what the digest is over: all that the model is, in its one form."""
        parts = [_framed(canonical_json(self.architecture))]
        for path, array in self.arrays.items():
            little_endian = array.astype(array.dtype.newbyteorder("<"))
            parts.append(_framed(path.encode()))
            parts.append(_framed(f"{little_endian.dtype.str}{list(array.shape)}".encode()))
            parts.append(_framed(little_endian.tobytes()))
        return b"".join(parts)


def read_model_file(data: bytes) -> ModelFile:
    """Read a `.keras` file.

    Args:
        data: The file's bytes, from anywhere.

    Returns:
        Its architecture and weights; optimizer state is left out.

    Raises:
        ManifestError: It is not a `.keras` file, or not a safe one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            config = parse_json(_member(archive, "config.json"), "the model's config.json")
            weights = _member(archive, "model.weights.h5")
            with h5py.File(io.BytesIO(weights), "r") as file:
                arrays = _arrays(file, len(weights))
    except _DAMAGE as error:
        raise ManifestError(f"not a .keras file: {error}", "restore the original model file") from error
    return ModelFile(_strip(config), dict(sorted(arrays.items())), data)


def parse_model(data: bytes) -> ModelFile:
    """Read what `ModelFile.encode` gives.

    Args:
        data: From anywhere.

    Returns:
        The model, whose encoding is `data`; its `data` is empty, for it is no `.keras` file.

    Raises:
        ManifestError: It is none.
    """
    try:
        architecture, *rest = _frames(data)
        arrays = {}
        for path, kind, values in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
            found = _KIND.fullmatch(kind.decode())
            shape = tuple(int(size) for size in found[2].split(", ") if size) if found else ()
            arrays[path.decode()] = np.frombuffer(values, found[1] if found else "").reshape(shape)
        model = ModelFile(parse_json(architecture, "the model's architecture"), arrays, b"")
        same = model.encode() == data and list(arrays) == sorted(arrays)
    except (ValueError, TypeError, OverflowError) as error:
        raise ManifestError(f"not a model: {error}", "restore the original") from error
    if not same:
        raise ManifestError("a model that is not in its one form", "restore the original")
    return model


def _frames(data: bytes) -> list[bytes]:
    frames = []
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 8], "big")
        if start + 8 + length > len(data):
            raise ValueError("it is cut off")
        frames.append(data[start + 8 : start + 8 + length])
        start += 8 + length
    return frames


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MEMBER_LIMITS[name]:
        raise ManifestError(f"{name} in the model file is too large", "restore the original model file")
    return archive.read(name)


def _arrays(file: h5py.File, size: int) -> dict[str, NDArray[Any]]:
    """Read every weight; `size` is the file's, and bounds what its arrays can hold: Keras compresses nothing."""
    arrays: dict[str, NDArray[Any]] = {}
    left, seen = size, 0
    pending: list[tuple[str, h5py.Group]] = [("", file)]
    while pending:
        prefix, group = pending.pop()
        for name in group:
            path = f"{prefix}{name}" if isinstance(name, str) else ""
            seen += 1
            # Only a hard link stays inside this file and under its own name; the limits end cycles of them.
            is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
            if not path or not is_hard or path.count("/") > MAX_DEPTH or seen > MAX_ITEMS:
                raise ManifestError("the model file links beyond itself", "restore the original model file")
            item = group[name]
            if isinstance(item, h5py.Group):
                if path != "optimizer":
                    pending.append((f"{path}/", item))
                continue
            if not isinstance(item, h5py.Dataset):
                raise ManifestError(f"{path} in the model file is no array", "restore the original model file")
            left -= prod(item.shape or ()) * item.dtype.itemsize
            if item.external or item.is_virtual or item.dtype.kind not in "biuf" or left < 0:
                raise ManifestError(f"{path} in the model file is not a plain array", "restore the original model file")
            arrays[path] = np.asarray(item[()])
    if not arrays:
        raise ManifestError("the model file has no weights", "restore the original model file")
    return arrays


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(item) for key, item in value.items() if key not in NOT_ARCHITECTURE}
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return value


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
