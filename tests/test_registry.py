"""Registries: names cost no import, outsiders are added by entry points, and faults are named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.outside import install
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


@pytest.mark.parametrize("name", [{}, [], None, 3])
def test_what_is_no_name_is_answered_like_one(toys: Registry[object], name: Any) -> None:
    assert name not in toys
    with pytest.raises(UsageError, match=r"no toy .*Choose one of path, lost"):
        toys.get(name)


def test_a_package_from_outside_adds_one(
    toys: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "toy_package", toys.group, "theirs = toy_package:thing")
    monkeypatch.syspath_prepend(tmp_path)
    assert toys.names == ("path", "lost", "theirs")
    assert "toy_package" not in sys.modules
    assert [plugin.help for plugin in toys] == ["a path", "nothing", "from toy_package 1.2"]
    assert toys.get("theirs") == "from outside"


def test_two_of_one_name_are_an_error(
    toys: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "rival_package", toys.group, "path = rival_package:thing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="two toys are called 'path': pathlib:Path and rival_package:thing"):
        list(toys)


def test_ours_come_first_and_others_are_looked_for_when_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys: Registry[object] = Registry(
        "toy", "wsi_nucssl.tests_toys", Plugin("path", "pathlib:Path", "a path")
    )
    turn = toys.in_turn()
    assert next(turn) is Path
    install(tmp_path, "late_package", toys.group, "theirs = late_package:thing")
    monkeypatch.syspath_prepend(tmp_path)
    assert "path" in toys
    assert "_plugins" not in vars(toys)
    assert list(turn) == ["from outside"]
    assert "theirs" in toys
    assert "pth" not in toys


def test_the_table_of_the_documentation_shows_ours(toys: Registry[object]) -> None:
    assert toys.table().splitlines() == [
        "| toy | |",
        "|---|---|",
        "| `path` | a path |",
        "| `lost` | nothing |",
    ]
