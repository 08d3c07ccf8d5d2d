"""Pages from templates by Jinja2: https://jinja.palletsprojects.com. Every value is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from wsi_nucssl._version import __version__
from wsi_nucssl.errors import spelled
from wsi_nucssl.report.axes import number


def page(template: str, **values: Any) -> str:
    """A template of this package, filled in."""
    return _environment().get_template(template).render(version=__version__, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wsi_nucssl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["words"] = lambda text: spelled(text, as_option)
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def as_option(name: str) -> str:
    """A parameter as it is typed: "--force-mpp"."""
    return f"--{name.replace('_', '-')}"
