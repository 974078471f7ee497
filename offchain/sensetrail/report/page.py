"""A report as one HTML page that needs nothing else: figures inside, no scripts, nothing loaded."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from sensetrail.report.section import Section


def render_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Render a report.

    Args:
        title: The page's.
        lead: One sentence under it.
        sections: In order; every text in them is escaped.

    Returns:
        The page's HTML.
    """
    template = resources.files("sensetrail.report").joinpath("page.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: b64encode(data).decode()
    return environment.from_string(template).render(title=title, lead=lead, sections=sections)
