from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sensetrail.core import model_file
from sensetrail.core.model_file import parse_model, read_model_file
from sensetrail.core.primitives import keccak256
from sensetrail.errors import ManifestError

CONFIG: dict[str, Any] = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "Dense", "config": {"units": 3, "activation": "relu"}}]},
}
KERNEL = np.arange(6, dtype="<f4").reshape(2, 3)
BIAS = np.array([0.5, -0.5, 0], dtype="<f4")


def plain_weights(file: h5py.File) -> None:
    file["layers/dense/vars/0"] = KERNEL
    file["layers/dense/vars/1"] = BIAS


def keras_file(
    config: Any = CONFIG,
    write: Callable[[h5py.File], None] = plain_weights,
    saved_at: tuple[int, int, int, int, int, int] = (2026, 1, 1, 0, 0, 0),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        write(file)
    config_bytes = config if isinstance(config, bytes) else json.dumps(config).encode()
    return archive({"config.json": config_bytes, "model.weights.h5": weights.getvalue()}, saved_at, compression)


def archive(
    members: dict[str, bytes],
    saved_at: tuple[int, int, int, int, int, int] = (2026, 1, 1, 0, 0, 0),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, saved_at), data, compression)
    return buffer.getvalue()


def framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def test_digest_is_over_architecture_and_arrays_as_documented() -> None:
    architecture = (
        b'{"class_name":"Sequential","config":{"layers":'
        b'[{"class_name":"Dense","config":{"activation":"relu","units":3}}]}}'
    )
    parts = [architecture, b"layers/dense/vars/0", b"<f4[2, 3]", KERNEL.tobytes()]
    parts += [b"layers/dense/vars/1", b"<f4[3]", BIAS.tobytes()]
    model = read_model_file(keras_file())
    assert model.architecture == CONFIG
    assert list(model.arrays) == ["layers/dense/vars/0", "layers/dense/vars/1"]
    assert model.digest == keccak256(b"".join(framed(part) for part in parts))


def test_arrays_stand_in_the_order_of_their_whole_paths() -> None:
    def write(file: h5py.File) -> None:
        for path in ("layers/dense/vars/0", "layers/dense-2/vars/0", "layers/dense/vars/10", "layers/dense/vars/2"):
            file[path] = BIAS

    paths = list(read_model_file(keras_file(write=write)).arrays)
    # HDF5 itself walks group by group: dense before dense-2, though "-" comes before "/".
    assert paths == [
        "layers/dense-2/vars/0",
        "layers/dense/vars/0",
        "layers/dense/vars/10",
        "layers/dense/vars/2",
    ]


def test_two_saves_of_one_model_have_one_digest() -> None:
    def otherwise(file: h5py.File) -> None:
        file["layers/dense/vars/1"] = BIAS.astype(">f4")
        file["optimizer/vars/0"] = np.arange(3)
        file.create_dataset("layers/dense/vars/0", data=KERNEL, chunks=(1, 3))
        file["layers"].attrs["name"] = "dense"

    config = {
        "compile_config": {"optimizer": "adam"},
        "build_config": {"input_shape": [None, 2]},
        **{key: CONFIG[key] for key in reversed(CONFIG)},
        "shared_object_id": 140_000_000,
    }
    first = keras_file()
    second = keras_file(config, otherwise, (2027, 2, 2, 2, 2, 2), zipfile.ZIP_DEFLATED)
    assert first != second
    assert read_model_file(first).digest == read_model_file(second).digest


def changed(path: str, array: Any) -> Callable[[h5py.File], None]:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        if path in file:
            del file[path]
        file[path] = array

    return write


def renamed(file: h5py.File) -> None:
    plain_weights(file)
    file.move("layers/dense/vars/1", "layers/dense/vars/2")


FLIPPED = KERNEL.copy()
FLIPPED.view("u4")[1, 2] ^= 1


@pytest.mark.parametrize(
    "write",
    [
        changed("layers/dense/vars/0", FLIPPED),
        changed("layers/dense/vars/0", KERNEL.reshape(3, 2)),
        changed("layers/dense/vars/0", KERNEL.view("<u4")),
        changed("layers/dense/vars/1", BIAS.astype("<f8")),
        changed("layers/dense/vars/1", -BIAS[::-1]),
        changed("layers/more/vars/0", np.float32(0)),
        changed("optimizer", np.zeros(1)),
        renamed,
    ],
    ids=["one bit", "shape", "dtype", "precision", "order", "one more", "named optimizer", "path"],
)
def test_another_weight_is_another_digest(write: Callable[[h5py.File], None]) -> None:
    assert read_model_file(keras_file(write=write)).digest != read_model_file(keras_file()).digest


def test_another_architecture_is_another_digest() -> None:
    text = json.dumps(CONFIG)
    for edited in (text.replace("relu", "tanh"), text.replace("3", "4"), text.replace("Sequential", "Functional")):
        assert edited != text
        assert read_model_file(keras_file(edited.encode())).digest != read_model_file(keras_file()).digest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"\x89HDF\r\n\x1a\n",
        archive({}),
        archive({"config.json": b"{}"}),
        archive({"model.weights.h5": b""}),
        archive({"config.json": b"{}", "model.weights.h5": b""}),
        archive({"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(100)}),
        keras_file(b""),
        keras_file(b"{"),
        keras_file(b'{"a":1,"a":2}'),
        keras_file(b'{"a":NaN}'),
        keras_file(b"\xff\xfe"),
        keras_file(write=lambda file: None),
        keras_file(write=changed("layers/text", "text")),
        keras_file(write=changed("layers/bytes", np.array([b"abc"]))),
        keras_file(write=changed("layers/compound", np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))),
        keras_file(write=changed("layers/complex", np.zeros(2, dtype="c8"))),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_what_is_no_model_file(data: bytes) -> None:
    with pytest.raises(ManifestError):
        read_model_file(data)


def test_references_are_no_arrays() -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        file.create_dataset("layers/reference", data=[file.ref], dtype=h5py.ref_dtype)

    with pytest.raises(ManifestError, match="not a plain array"):
        read_model_file(keras_file(write=write))


@pytest.mark.parametrize("link", [h5py.SoftLink("/optimizer/x"), h5py.ExternalLink("secret.h5", "/secret")])
def test_links_are_refused_for_what_they_lead_to_could_change(link: object) -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        file["layers/link"] = link

    with pytest.raises(ManifestError, match="links beyond itself"):
        read_model_file(keras_file(write=write))


def test_an_array_under_two_names_counts_under_both() -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        file["optimizer/x"] = np.ones(3, dtype="<f4")
        file["layers/twice"] = file["optimizer/x"]

    assert "layers/twice" in read_model_file(keras_file(write=write)).arrays


@pytest.mark.parametrize("width", [1, 12])
def test_groups_that_hold_themselves_are_refused(width: int) -> None:
    def write(file: h5py.File) -> None:
        plain_weights(file)
        for number in range(width):
            file[f"layers/loop{number}"] = file["layers"]

    with pytest.raises(ManifestError, match="links beyond itself"):
        read_model_file(keras_file(write=write))


def test_external_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(12))

    def write(file: h5py.File) -> None:
        plain_weights(file)
        file.create_dataset("layers/x", shape=(3,), dtype="<f4", external=[(str(tmp_path / "secret.bin"), 0, 12)])

    with pytest.raises(ManifestError, match="not a plain array"):
        read_model_file(keras_file(write=write))


def test_virtual_datasets_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["secret"] = np.ones(3)

    def write(file: h5py.File) -> None:
        plain_weights(file)
        layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "secret", shape=(3,))
        file.create_virtual_dataset("layers/virtual", layout)

    with pytest.raises(ManifestError, match="not a plain array"):
        read_model_file(keras_file(write=write))


def test_bombs_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = model_file.MEMBER_LIMITS["config.json"]
    padded = json.dumps(CONFIG).encode().ljust(limit + 1)
    bomb = keras_file(padded, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < limit / 100
    with pytest.raises(ManifestError, match=r"config.json in the model file is too large"):
        read_model_file(bomb)
    assert read_model_file(keras_file(padded[:limit], compression=zipfile.ZIP_DEFLATED)).architecture == CONFIG

    monkeypatch.setitem(model_file.MEMBER_LIMITS, "model.weights.h5", 100)
    with pytest.raises(ManifestError, match=r"model.weights.h5 in the model file is too large"):
        read_model_file(keras_file())


def test_a_member_larger_than_it_says_is_refused() -> None:
    members = {"config.json": b"[" + b" " * 1000 + b"]", "model.weights.h5": b""}
    honest = archive(members, compression=zipfile.ZIP_DEFLATED)
    size = len(members["config.json"]).to_bytes(4, "little")
    assert honest.count(size) == 2
    with pytest.raises(ManifestError):
        read_model_file(honest.replace(size, (1).to_bytes(4, "little")))


def test_of_a_member_twice_the_last_counts() -> None:
    buffer = io.BytesIO(keras_file())
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as file:
        warnings.simplefilter("ignore", UserWarning)
        file.writestr("config.json", "{}")
    assert read_model_file(buffer.getvalue()).architecture == {}


def test_every_truncation_is_refused() -> None:
    data = keras_file()
    for length in range(0, len(data), 7):
        with pytest.raises(ManifestError):
            read_model_file(data[:length])


def test_a_model_s_encoding_reads_back_and_has_one_form() -> None:
    model = read_model_file(keras_file())
    encoded = model.encode()
    again = parse_model(encoded)
    assert (again.architecture, list(again.arrays), again.digest) == (
        model.architecture,
        list(model.arrays),
        model.digest,
    )
    for path, array in model.arrays.items():
        assert (again.arrays[path] == array).all()
    for cut in (1, 7, 8, len(encoded) // 2, len(encoded) - 1):
        with pytest.raises(ManifestError):
            parse_model(encoded[:cut])
    for place in range(0, len(encoded), 3):
        changed = encoded[:place] + bytes([encoded[place] ^ 1]) + encoded[place + 1 :]
        try:
            assert parse_model(changed).digest != model.digest
        except ManifestError:
            continue


@pytest.mark.parametrize("kind", ["<f4[9999999999]", "<f4[2, -1]", "|O[1]", "<f4", "<f8[1]", "<f4[1]x", "<f4[1, ]"])
def test_a_model_whose_arrays_are_none_is_refused(kind: str) -> None:
    with pytest.raises(ManifestError):
        parse_model(framed(b"{}") + framed(b"a/vars/0") + framed(kind.encode()) + framed(bytes(4)))
