"""Which nuclei go into files: those that are large and certain enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsi_nucssl.checks import within

if TYPE_CHECKING:
    from wsi_nucssl.export.base import ExportContext
    from wsi_nucssl.nuclei.table import Nuclei


@dataclass(frozen=True, slots=True)
class Selection:
    """The least values that a nucleus has to have, as files show them: rounded to four decimals.

    Attributes
    ----------
    min_area_um2 : float
        Least area in µm².
    min_probability : float
        Least mean P(nucleus) over the nucleus.

    Raises
    ------
    UsageError
        A value is no number or out of range.
    """

    min_area_um2: float = 0.0
    min_probability: float = 0.0

    def __post_init__(self) -> None:
        within("min_area_um2", self.min_area_um2, 0, 1e6)
        within("min_probability", self.min_probability, 0, 1)

    def header(self) -> dict[str, float]:
        """What is not left at nothing, for the header of files."""
        values = {"min_area_um2": self.min_area_um2, "min_probability": self.min_probability}
        return {name: float(value) for name, value in values.items() if value}

    def of(self, tables: Iterable[Nuclei], context: ExportContext) -> Iterator[Nuclei]:
        """The tables without the nuclei that fall short."""
        import numpy as np  # options are parsed before anything heavy is imported

        from wsi_nucssl.export.columns import COLUMNS, DECIMALS

        least = {"area_um2": self.min_area_um2, "probability": self.min_probability}
        limits = np.array([least.get(column.name, -np.inf) for column in COLUMNS]) * 10**DECIMALS
        for nuclei in tables:
            if not self.header():
                yield nuclei
                continue
            enough = (context.measured(nuclei) >= np.ceil(limits - 1e-6)).all(axis=1)
            yield nuclei.take(np.flatnonzero(enough))


ALL: Final = Selection()
"""Every nucleus."""
