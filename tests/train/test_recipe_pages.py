"""The pages that errors name for a recipe's settings say their names, defaults and ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl.train.recipe import Recipe, RecipeFile

ROOT = Path(__file__).parents[2]
RECIPES = pytest.mark.parametrize("recipe", [Recipe, PretrainRecipe])


def block(recipe: type[RecipeFile]) -> str:
    """The YAML of its page that begins with its first setting."""
    (first, *_) = recipe.model_fields
    (found,) = re.findall(rf"^```yaml\n({first}:.*?)^```", (ROOT / recipe.guide).read_text(), re.M | re.S)
    return str(found)


def limits(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings that have limits, by their full names, with the limits as pages write them."""
    for name, each in model.model_fields.items():
        if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
            yield from limits(each.annotation, f"{prefix}{name}.")
        bounds: dict[str, Any] = {}
        for limit in each.metadata:
            bounds |= {k: getattr(limit, k) for k in ("ge", "gt", "le", "lt") if hasattr(limit, k)}
        match bounds:
            case {"ge": low, "le": high}:
                yield prefix + name, f"{low} … {high}"
            case {"ge": low, "lt": high}:
                yield prefix + name, f"{low} ≤ … < {high}"
            case {"ge": low}:
                yield prefix + name, f"≥ {low}"
            case {"gt": low}:
                yield prefix + name, f"> {low}"
            case _:
                assert not bounds


def comments(text: str) -> dict[str, str]:
    """What stands beside each setting."""
    found, section = {}, ""
    for line in text.splitlines():
        if setting := re.match(r"( *)(\w+):[^#]*(?:# *(.*))?$", line):
            indent, name, comment = setting.groups()
            section = section if indent else ""
            found[section + name] = comment or ""
            section = section if indent else f"{name}."
    return found


@RECIPES
def test_names_and_defaults(recipe: type[RecipeFile]) -> None:
    assert yaml.safe_load(block(recipe)) == recipe().model_dump(mode="json")


@RECIPES
def test_ranges(recipe: type[RecipeFile]) -> None:
    said, known = comments(block(recipe)), dict(limits(recipe))
    assert len(known) > 10
    probabilities = {name for name in known if name.endswith("_p")}
    assert {known[name] for name in probabilities} <= {"0 … 1"}
    assert not probabilities or "`_p` is a probability, 0 … 1" in (ROOT / recipe.guide).read_text()
    assert {n: said[n] for n in known.keys() - probabilities if known[n] not in said[n]} == {}
