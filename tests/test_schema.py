"""What a model answers: planes, a method, types; in headers as ever where there are no types."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.schema import NucleusType, OutputSchema, typed, types_of

names = st.lists(
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1), max_size=20, unique=True
)


def test_the_default_is_what_all_models_were() -> None:
    schema = OutputSchema()
    assert (schema.planes, schema.instances, schema.types) == (
        ("background", "body", "boundary"),
        "body-boundary",
        (),
    )
    assert schema.channels == 3
    assert schema.predicted == ("body", "boundary")
    assert schema.stored == ("body", "boundary", "hematoxylin_od")
    assert OutputSchema.from_header({}) == schema


def test_without_types_a_header_says_what_it_always_said() -> None:
    assert json.dumps(OutputSchema().as_header()) == '{"classes": ["background", "body", "boundary"]}'


@given(names)
def test_schemas_come_back_from_json(names: list[str]) -> None:
    schema = typed(names)
    assert OutputSchema.from_header(json.loads(json.dumps(schema.as_header()))) == schema
    assert types_of(json.loads(json.dumps(schema.types_header()))) == schema.types
    assert schema.channels == 3 + len(names)
    assert schema.type_names == tuple(names)
    assert len(schema.stored) == 3 + len(names)


@pytest.mark.parametrize(
    "header",
    [
        {"classes": ["background", "nucleus"]},
        {"schema": {"planes": ["background", "body", "boundary"], "instances": "star-convex", "types": []}},
        {"schema": {"planes": ["body"], "instances": "body-boundary", "types": []}},
    ],
)
def test_schemas_of_the_future_are_refused(header: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="unknown to this version"):
        OutputSchema.from_header(header)


@pytest.mark.parametrize(
    "header", [{"schema": {}}, {"schema": 3}, {"schema": {"types": [], "planes": [], "x": 1}}]
)
def test_what_is_no_schema_is_refused(header: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        OutputSchema.from_header(header)


@pytest.mark.parametrize("name", ["", "  ", "a\nb"])
def test_types_have_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        NucleusType(name, (0, 0, 0))


@pytest.mark.parametrize("color", [(0, 0), (0, 0, 256), (-1, 0, 0), (0.5, 0, 0)])
def test_types_have_colours(color: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="from 0 to 255"):
        NucleusType("a", color)


def test_types_differ_in_name() -> None:
    with pytest.raises(UsageError, match="each name once"):
        typed(["a", "b", "a"])
