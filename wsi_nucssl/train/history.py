"""What a run leaves to look at: history.csv, curves.png and TensorBoard events."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError
from wsi_nucssl.files import atomic_path, write_atomic
from wsi_nucssl.train.curves import Row, draw_curves

_SHARE: Final = 20
"""Drawing may take one part in so many of the time."""


class History:
    """Rows of scalars by step, kept in `history.csv`; a resumed run forgets what came after its checkpoint."""

    def __init__(self, run: Path, step: int = 0) -> None:
        self.csv, self.curves, self.events = run / "history.csv", run / "curves.png", run / "events"
        self._not_before = 0.0
        self._unsent: list[Row] = []
        self._unsent_pictures: list[tuple[str, NDArray[np.uint8], int]] = []
        self.rows: list[Row] = self._read(step)

    def _read(self, step: int) -> list[Row]:
        if not self.csv.exists():
            return []
        try:
            with self.csv.open(newline="") as file:
                rows = [
                    {name: _number(v) for name, v in row.items() if v != ""} for row in csv.DictReader(file)
                ]
                return [row for row in rows if row["step"] <= step]
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            raise InputError(
                f"the history is damaged ({error})",
                path=self.csv,
                remedy="Restore it, or start again with ⟨overwrite⟩",
            ) from error

    def add(self, row: Row) -> None:
        """Append a row and write history.csv out again."""
        self.rows.append(row)
        names = list(dict.fromkeys(name for each in self.rows for name in each))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.csv, text.getvalue())
        self._unsent.append(row)

    def show(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Give TensorBoard a picture (row, col, 3), with the next rows."""
        self._unsent_pictures.append((name, picture, step))

    def _send_to_tensorboard(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.events)) as writer:
            for row in self._unsent:
                for name, value in row.items():
                    writer.add_scalar(name, value, int(row["step"]))
            for name, picture, step in self._unsent_pictures:
                writer.add_image(name, picture, step, dataformats="HWC")
        self._unsent.clear()
        self._unsent_pictures.clear()

    def show_curves(self, panels: Sequence[Sequence[str]], *, last: bool) -> None:
        """Draw `curves.png`, one panel for each group of columns, over steps; TensorBoard gets the new rows.

        All but the last curves are left out where drawing them would take more than a twentieth of the time.
        """
        begun = time.monotonic()
        if last or begun >= self._not_before:
            self._draw(panels)
            self._not_before = time.monotonic() + _SHARE * (time.monotonic() - begun)
        self._send_to_tensorboard()

    def _draw(self, panels: Sequence[Sequence[str]]) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5 * len(panels), 3.8), layout="constrained")
        figure.suptitle(self.csv.absolute().parent.name)
        for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw_curves(axes, self.rows, names)
        with atomic_path(self.curves) as partial:
            figure.savefig(partial, format="png", dpi=110)


def _number(text: str) -> float:
    """The number as it was written: a whole one stays whole, so that writing it again gives the same bytes."""
    return int(text) if text.lstrip("-").isdigit() else float(text)
