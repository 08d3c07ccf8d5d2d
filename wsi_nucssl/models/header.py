"""The types of a model's header: what its readers may rely on, whoever wrote the file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Stated(BaseModel):
    """Members by name and type; others are a maker's notes."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _SplitImage(_Stated):
    image_sha256: str


class _Split(_Stated):
    train: list[_SplitImage] = []
    validation: list[_SplitImage] = []


class _Provenance(_Stated):
    split: _Split = _Split()
    seen_before: list[str] = []


class _Header(_Stated):
    """Whether values are in range is said by what they become: `InstanceConfig`, `OutputSchema`, `Mpp`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arch: str
    mpp: float
    instances: dict[str, float]
    classes: list[str] = []
    output_schema: dict[str, Any] = Field({}, alias="schema")
    provenance: _Provenance = _Provenance()


def check_types(header: object) -> None:
    """See that a header has the members of a model's, and that each has its type.

    Raises
    ------
    ValueError
        It has not; the first member that is at fault is named.
    """
    try:
        _Header.model_validate(header)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'header'}: {first['msg']}") from error
