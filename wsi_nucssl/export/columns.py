"""The measurements of a nucleus as people read them: names, units and rounding, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei

DECIMALS: Final = 4
"""Decimals of a measurement in its unit, in every format that writes decimals."""


@dataclass(frozen=True, slots=True)
class Column:
    """One measurement.

    Attributes
    ----------
    measurement : str
        Its column of `Nuclei.measurements`.
    name : str
        In tables; it ends in the unit where there is one.
    unit : str
        "µm²", "µm" or "" for a ratio.
    qupath : str
        As QuPath shows it.
    """

    measurement: str
    name: str
    unit: str
    qupath: str


COLUMNS: Final = (
    Column("area", "area_um2", "µm²", "Area µm^2"),
    Column("perimeter", "perimeter_um", "µm", "Perimeter µm"),
    Column("circularity", "circularity", "", "Circularity"),
    Column("major_axis", "major_axis_um", "µm", "Major axis µm"),
    Column("minor_axis", "minor_axis_um", "µm", "Minor axis µm"),
    Column("eccentricity", "eccentricity", "", "Eccentricity"),
    Column("solidity", "solidity", "", "Solidity"),
    Column("probability", "probability", "", "Mean probability"),
    Column("hematoxylin_od", "hematoxylin_od", "", "Hematoxylin OD mean"),
)
"""In the order of `table.MEASUREMENTS`."""

TRUNCATED: Final = Column("truncated", "truncated", "", "Truncated at seam")
"""1 for nuclei that reach farther than extraction was allowed to look; QuPath's files have it only where it is 1."""

TYPE: Final = "type"
"""Name of the column that holds the name of a nucleus's type, in tables of models that tell types apart."""

TYPE_PROBABILITY: Final = Column("type_probability", "type_probability", "", "Type probability")
"""Of a nucleus's own type; beside `TYPE`."""

assert tuple(column.measurement for column in COLUMNS) == MEASUREMENTS


def in_units(nuclei: Nuclei, mpp: Mpp) -> NDArray[np.float64]:
    """The measurements in their units, float64 (n, 9) in the order of `COLUMNS`.

    Parameters
    ----------
    mpp : Mpp
        µm per canvas px.
    """
    factor = {"µm²": mpp.x * mpp.y, "µm": mpp.mean, "": 1.0}
    units = np.array([factor[column.unit] for column in COLUMNS])
    measured: NDArray[np.float64] = nuclei.measurements.astype(np.float64) * units
    return measured


def rounded(nuclei: Nuclei, mpp: Mpp) -> NDArray[np.int64]:
    """`in_units` in steps of 10^−`DECIMALS`, int64 (n, 9): formats that write decimals agree to the digit."""
    return np.rint(in_units(nuclei, mpp) * 10**DECIMALS).astype(np.int64)


def rounded_type_probability(nuclei: Nuclei) -> NDArray[np.int64]:
    """The probability of each nucleus's own type in steps of 10^−`DECIMALS`, int64 (n,); 0 where it has none."""
    if not nuclei.types:
        return np.zeros(len(nuclei), np.int64)
    own = np.take_along_axis(nuclei.type_probability, nuclei.type_id[:, None].astype(np.intp), axis=1)[:, 0]
    return np.rint(np.where(nuclei.type_id < 0, 0, own).astype(np.float64) * 10**DECIMALS).astype(np.int64)
