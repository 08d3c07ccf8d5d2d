"""Registries: names cost no import, outsiders are added by entry points, and faults are named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wsi_nucssl.errors import UsageError
from wsi_nucssl.registry import Plugin, Registry


@pytest.fixture
def toys() -> Registry[object]:
    return Registry(
        "toy",
        "wsi_nucssl.tests_toys",
        Plugin("path", "pathlib:Path", "a path"),
        Plugin("lost", "pathlib:NoSuchThing", "nothing"),
    )


def install(site: Path, package: str, entry: str) -> None:
    """A package of one module, as pip would leave it in a folder of sys.path."""
    (site / f"{package}.py").write_text("thing = 'from outside'\n")
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[wsi_nucssl.tests_toys]\n{entry}\n")


def test_own_things_are_imported_when_they_are_asked_for(toys: Registry[object]) -> None:
    assert toys.names == toys.own_names == ("path", "lost")
    assert toys.get("path") is Path
    with pytest.raises(
        UsageError, match=r"'lost' cannot be imported .*Install what pathlib:NoSuchThing needs"
    ):
        toys.get("lost")


def test_an_unknown_name_is_answered_with_the_choices(toys: Registry[object]) -> None:
    with pytest.raises(UsageError, match=r"no toy 'pth'\. Choose one of path, lost"):
        toys.get("pth")


def test_a_package_from_outside_adds_one(
    toys: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "toy_package", "theirs = toy_package:thing")
    monkeypatch.syspath_prepend(tmp_path)
    assert toys.names == ("path", "lost", "theirs")
    assert "toy_package" not in sys.modules
    assert [plugin.help for plugin in toys] == ["a path", "nothing", "from toy_package 1.2"]
    assert toys.get("theirs") == "from outside"


def test_two_of_one_name_are_an_error(
    toys: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "rival_package", "path = rival_package:thing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="two toys are called 'path': pathlib:Path and rival_package:thing"):
        list(toys)
