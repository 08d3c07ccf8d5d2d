"""Licences of all that an installation of the package brings along, direct and indirect.

    python -m scripts.licences

prints a Markdown table, a row for each licence as its packages state it, for the environment that runs the command.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final, cast

from packaging.requirements import Requirement

PACKAGE: Final = "wsi-nucssl"
UNSTATED: Final = "(not stated)"


def installed_with(name: str, extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """A package and everything that it needs here, by normalised name; what is not installed is left out."""
    found: dict[str, Distribution] = {}
    waiting = [(name, extras)]
    while waiting:
        package, wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", package).lower()
        if key in found:
            continue
        try:
            found[key] = distribution(package)
        except PackageNotFoundError:
            continue
        waiting += [(each.name, tuple(each.extras)) for each in _needs(found[key], wanted)]
    return dict(sorted(found.items()))


def _needs(package: Distribution, extras: tuple[str, ...]) -> Iterator[Requirement]:
    for text in package.requires or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield need


def licence(package: Distribution) -> str:
    """What a package states: its SPDX expression, else its classifiers, else the first line of its text."""
    stated = cast(Message, package.metadata)
    if expression := stated.get("License-Expression"):
        return str(expression)
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in stated.get_all("Classifier") or ()
        if each.startswith("License ::")
    ]
    first_line = str(stated.get("License") or "").partition("\n")[0].strip()
    return "; ".join(classifiers) or first_line or UNSTATED


def main() -> None:
    """Print the table."""
    by_licence: defaultdict[str, list[str]] = defaultdict(list)
    for name, package in installed_with(PACKAGE).items():
        if name != PACKAGE:
            by_licence[licence(package)].append(name)
    sys.stdout.write("| licence | packages |\n|---|---|\n")
    for stated, names in sorted(by_licence.items(), key=lambda each: -len(each[1])):
        sys.stdout.write(f"| {stated} | {', '.join(names)} |\n")


if __name__ == "__main__":
    main()
