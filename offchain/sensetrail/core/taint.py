"""Taint: what a revocation tells us not to trust, and what was made of it.

(T1) A reading is touched if it is legal, its device is revoked, and it was measured at or after the device's
     `untrusted_since`: what would be in a dataset, were it not for the revocation.
(T2) A dataset is touched if one of its rows is.
(T3) A model is touched if its dataset is. One that succeeds a touched model, directly or through others, inherits: it
     learned nothing of what is touched by that, but who relied on its line should look.

A device's history ends with its revocation, so what is touched only ever grows by another revocation. All of this is
told from the newest history: a dataset that was honest when it was built is touched as soon as its device is revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from sensetrail.core.dataset import Rows, Selection, select
from sensetrail.core.history import History
from sensetrail.core.primitives import Address
from sensetrail.errors import AuditError, InputError


@dataclass(frozen=True, slots=True)
class Touched:
    """What is touched of one device's readings.

    Attributes:
        device: Whose.
        untrusted_since: Since when it is not trusted, Unix seconds.
        count: How many readings are touched, at least one.
        first_time: When the first of them was measured, Unix seconds.
        last_time: When the last of them was measured, Unix seconds.
        first_sequence: The first one's number in the device's history.
        last_sequence: The last one's; between the two may lie readings that are not touched.
    """

    device: Address
    untrusted_since: int
    count: int
    first_time: int
    last_time: int
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Descent:
    """Where a model comes from.

    Attributes:
        weights_digest: The model, 32 bytes.
        dataset_id: What it was trained on, 32 bytes.
        parent: Weights digest of the model it succeeds, 32 bytes; zero for none.
    """

    weights_digest: bytes
    dataset_id: bytes
    parent: bytes


def untrusted_since(history: History) -> dict[Address, int]:
    """Give each revoked device's `untrusted_since`, Unix seconds."""
    return {
        name: device.untrusted_since for name, device in history.devices.items() if device.untrusted_since is not None
    }


def touched_rows(rows: Rows, untrusted: Mapping[Address, int]) -> Rows:
    """Give the rows that are touched (T1), in their order.

    Args:
        rows: Legal readings, of a dataset or all.
        untrusted: Each revoked device's `untrusted_since`, Unix seconds: of the newest history.
    """
    mask = np.zeros(len(rows), dtype=np.bool_)
    for device, since in untrusted.items():
        mask |= (rows.device == device) & (rows.measured_at >= since)
    return rows.take(mask)


def touched_readings(history: History) -> Rows:
    """Give all of a history's readings that are touched (T1), in canonical order; there may be none."""
    untrusted = untrusted_since(history)
    if untrusted:
        # As if nobody were revoked: the selection leaves out what is looked for here.
        lifted = copy(history)
        lifted.devices = {name: replace(device, untrusted_since=None) for name, device in history.devices.items()}
        try:
            legal = select(lifted, Selection(tuple(untrusted), since=min(untrusted.values())))
            return touched_rows(legal, untrusted)
        except InputError:  # nothing legal since then
            pass
    none = np.zeros(0, dtype=np.int64)
    return Rows(np.zeros(0, dtype="<U42"), none, none, none, none)


def summarise(touched: Rows, untrusted: Mapping[Address, int]) -> tuple[Touched, ...]:
    """Sum touched rows up by device, in canonical order; a device without any is left out."""
    found = []
    for device in sorted(untrusted, key=str.lower):
        own = touched.take(touched.device == device)
        if len(own):
            times, sequence = own.measured_at, own.sequence
            limits = (times.min(), times.max(), sequence.min(), sequence.max())
            found.append(Touched(device, untrusted[device], len(own), *map(int, limits)))
    return tuple(found)


def descendants(models: Iterable[Descent], roots: Iterable[bytes]) -> set[bytes]:
    """Give the models that succeed one of some models, directly or through others (T3).

    Args:
        models: All that are known; from anywhere, so their parents may be unknown, or go round in circles.
        roots: Weights digests of 32 bytes.

    Returns:
        Weights digests; the roots themselves are not among them.
    """
    successors: dict[bytes, set[bytes]] = {}
    for model in models:
        successors.setdefault(model.parent, set()).add(model.weights_digest)
    reached = set(roots)
    pending = list(reached)
    while pending:
        fresh = successors.get(pending.pop(), set()) - reached
        reached |= fresh
        pending += fresh
    return reached.difference(roots)


def verify_untainted(history: History, rows: Rows) -> None:
    """Verify that no row of a dataset is touched (T2).

    Args:
        history: Replayed through the newest block, not only through the dataset's.
        rows: The dataset's.

    Raises:
        AuditError: Some are; it names each device, how many of the rows are its, and since when it is not trusted.
    """
    untrusted = untrusted_since(history)
    touched = touched_rows(rows, untrusted)
    if len(touched):
        devices = "; ".join(
            f"device {each.device} is revoked and not trusted since {utc(each.untrusted_since)}: "
            f"{each.count} of the dataset's {len(rows)} rows are its since then"
            for each in summarise(touched, untrusted)
        )
        raise AuditError(
            devices,
            "rebuild and retrain without them: sensetrail renew MODEL NEW_NAME",
            expected=0,
            actual=len(touched),
        )


def utc(seconds: int) -> str:
    """Write a moment, Unix seconds, for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
