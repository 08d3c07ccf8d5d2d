"""Each test that docs/trust.md names is there."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "trust.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
FILES = set(re.findall(r"\btests/[\w/]+(?:\.py)?\b", PAGE))


def _functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 50
    missing = [f"{path}::{name}" for path, name in NAMED if name not in _functions(path)]
    assert not missing


def test_every_named_file_exists() -> None:
    assert len(FILES) > 30
    assert not [path for path in FILES if not (ROOT / path).exists()]
