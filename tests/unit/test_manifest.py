from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sensetrail.core.canonical import canonical_json
from sensetrail.core.dataset import DatasetRecord, Selection
from sensetrail.core.manifest import Manifest, parse_manifest
from sensetrail.core.primitives import address, keccak256
from sensetrail.errors import ManifestError

SELECTION = Selection(devices=(address("0x" + "1f" * 20), address("0x" + "f1" * 20)), until=2_000_000_000)
MANIFEST = Manifest(
    weights_digest=b"\x01" * 32,
    task="device-from-readings",
    dataset=DatasetRecord(b"\x02" * 32, 840, SELECTION.digest, 77, b"\x03" * 32),
    selection=SELECTION,
    configuration={"epochs": 30, "seed": 1, "split": [0.8, 0.2]},
    labels=("kitchen", "bedroom"),
    environment={"keras": "3", "machine": "x86_64"},
    metrics={"accuracy": 0.924, "epochs": 30},
    parent=b"\x04" * 32,
)

Path = tuple[str | int, ...]


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*here, key))


def with_value(path: Path, value: Any) -> Any:
    """Give the manifest's JSON with one value replaced."""
    if not path:
        return value
    changed = copy.deepcopy(MANIFEST.to_json())
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def test_round_trip_in_any_key_order_and_spacing() -> None:
    backwards = json.dumps(dict(reversed(MANIFEST.to_json().items())), indent=2).encode()
    for data in (canonical_json(MANIFEST.to_json()), backwards):
        parsed = parse_manifest(data)
        assert parsed == MANIFEST
        assert parsed.digest == MANIFEST.digest == keccak256(canonical_json(MANIFEST.to_json()))


def test_every_field_is_in_the_digest() -> None:
    others = [
        replace(MANIFEST, weights_digest=b"\x09" * 32),
        replace(MANIFEST, task="other"),
        replace(MANIFEST, dataset=replace(MANIFEST.dataset, root=b"\x09" * 32)),
        replace(MANIFEST, dataset=replace(MANIFEST.dataset, row_count=841)),
        replace(MANIFEST, dataset=replace(MANIFEST.dataset, through_block=78)),
        replace(MANIFEST, dataset=replace(MANIFEST.dataset, block_hash=b"\x09" * 32)),
        replace(MANIFEST, selection=replace(SELECTION, since=5)),
        replace(MANIFEST, configuration={**MANIFEST.configuration, "seed": 2}),
        replace(MANIFEST, labels=("bedroom", "kitchen")),
        replace(MANIFEST, environment={}),
        replace(MANIFEST, metrics={**MANIFEST.metrics, "accuracy": 0.925}),
        replace(MANIFEST, parent=bytes(32)),
    ]
    assert len({manifest.digest for manifest in [MANIFEST, *others]}) == 13


@pytest.mark.parametrize("path", [path for path in paths(MANIFEST.to_json()) if path], ids=str)
def test_a_field_left_out_or_added(path: Path) -> None:
    if path[0] in ("configuration", "environment", "metrics") and len(path) > 1:
        return  # what these hold is free
    changed = copy.deepcopy(MANIFEST.to_json())
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    removed = place.pop(path[-1])
    if path[0] != "labels" or len(path) == 1:
        with pytest.raises(ManifestError):
            parse_manifest(json.dumps(changed).encode())
    if isinstance(place, dict):
        place[path[-1]] = removed
        place["more"] = 1
        with pytest.raises(ManifestError):
            parse_manifest(json.dumps(changed).encode())


@pytest.mark.parametrize("path", list(paths(MANIFEST.to_json())), ids=str)
@pytest.mark.parametrize("value", [None, True, 1.5, -1, 2**64, "x", [], {}, [[]], {"x": {}}], ids=repr)
def test_a_changed_field_is_refused_or_is_another_manifest(path: Path, value: Any) -> None:
    data = canonical_json(with_value(path, value))
    if data == canonical_json(MANIFEST.to_json()):
        return
    try:
        parsed = parse_manifest(data)
    except ManifestError:
        return
    # Free text and numbers may differ; all else is held together by the dataset's id and its own form.
    assert path[0] in ("task", "configuration", "labels", "environment", "metrics"), path
    assert parsed.to_json() == json.loads(data)
    assert parsed.digest != MANIFEST.digest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("dataset", "row_count"), True),
        (("dataset", "row_count"), 840.0),
        (("dataset", "row_count"), 841),
        (("dataset", "through_block"), -1),
        (("dataset", "root"), "0x" + "09" * 32),
        (("dataset", "root"), "0x" + "0A" * 32),
        (("dataset", "id"), "0x" + "09" * 32),
        (("dataset", "selection", "until"), 2_000_000_001),
        (("manifest",), "sensetrail-manifest-v2"),
        (("weights_digest",), "0x" + "01" * 32),
        (("task",), ["x"]),
        (("labels",), "kitchen"),
        (("labels", 0), 1),
        (("environment",), [["keras", "3"]]),
        (("environment", "keras"), 3),
        (("metrics", "accuracy"), "0.9"),
        (("metrics", "accuracy"), True),
        (("metrics", "accuracy"), None),
        (("parent",), "0x"),
        (("parent",), None),
    ],
    ids=str,
)
def test_an_edited_field_is_refused(path: Path, value: Any) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(with_value(path, value)).encode())


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"5", b'"manifest"', b"\xff"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


def test_a_key_twice_and_a_number_that_is_none() -> None:
    text = canonical_json(MANIFEST.to_json()).decode()
    twice = text.replace('"task":', '"task":"device-from-readings","task":')
    nan = text.replace("0.924", "NaN")
    assert text not in (twice, nan)
    for edited in (twice, nan):
        with pytest.raises(ManifestError, match="not valid JSON"):
            parse_manifest(edited.encode())
