from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from property.strategies import WORDS
from sensetrail.core.canonical import canonical_json, json_digest, named_digest, parse_json, parse_named_digest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)


def shuffled(value: Any, source: Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(item, source)) for key, item in value.items()]
        source.shuffle(items)
        return dict(items)
    return [shuffled(item, source) for item in value] if isinstance(value, list) else value


@given(VALUES, st.randoms(use_true_random=False))
def test_the_form_does_not_depend_on_the_order_of_keys(value: Any, source: Random) -> None:
    assert canonical_json(shuffled(value, source)) == canonical_json(value)
    assert json_digest(shuffled(value, source)) == json_digest(value)


@given(VALUES)
def test_parsing_gives_the_value_back_and_its_form_stays(value: Any) -> None:
    form = canonical_json(value)
    assert canonical_json(parse_json(form, "it")) == form
    assert canonical_json(parse_json(json.dumps(value, indent=3).encode(), "it")) == form


@given(VALUES, VALUES)
def test_two_values_have_one_form_only_if_they_are_one(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) == same


@given(TEXTS, WORDS)
def test_a_named_digest_reads_back(name: str, digest: bytes) -> None:
    assert parse_named_digest(named_digest(name, digest), name) == digest
