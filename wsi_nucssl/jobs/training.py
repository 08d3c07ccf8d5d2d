"""What training leaves, whichever of `pretrain` and `finetune` it was, and where it may run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd


TrainDevice = Literal["auto", "cpu"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What `pretrain` and `finetune` leave.

    Attributes
    ----------
    folder : Path
        The run directory; `segment` takes it as `model`, `finetune` as `encoder`.
    weights : Path
        The weights in it.
    validation_aji : float or None
        Of the calibrated model on the held-out images; None for pretraining, or where nothing was held out.
    """

    folder: Path
    weights: Path
    validation_aji: float | None = None

    @property
    def table(self) -> pd.DataFrame:
        """The run's history.csv: a row an epoch or interval."""
        import pandas as pd

        return pd.read_csv(self.folder / "history.csv")
