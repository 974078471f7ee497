"""An accepted device claims values that no room has."""

import pytest

from conftest import Site
from sensetrail.core.events import Accepted
from sensetrail.core.rules import Verdict


@pytest.mark.parametrize(
    ("temperature", "humidity", "verdict"),
    [
        (50_00, 98_00, Verdict.LEGAL),
        (50_01, 60_00, Verdict.TEMPERATURE_RANGE),
        (-1, 60_00, Verdict.TEMPERATURE_RANGE),
        (25_00, 98_01, Verdict.HUMIDITY_RANGE),
        (25_00, 4_99, Verdict.HUMIDITY_RANGE),
        (-(2**15), 2**16 - 1, Verdict.TEMPERATURE_RANGE | Verdict.HUMIDITY_RANGE),
    ],
)
def test_the_verdict_names_the_channel(site: Site, temperature: int, humidity: int, verdict: Verdict) -> None:
    outcome = site.post(0, site.now, temperature, humidity)
    assert isinstance(outcome, Accepted)
    assert outcome.verdicts.tolist() == [verdict]
