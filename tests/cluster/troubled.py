"""An engine for workers that do what workers do: `dark` with a folder of troubles, each a file that asks for one."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from distributed import Worker

from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.models.weights import Model

POISON: Final = (1, 2, 3)
"""The RGB of a pixel that ends whoever predicts it."""
FOLDER: Final = "WSI_NUCSSL_TROUBLES"
KERNEL: Final = "WSI_NUCSSL_KERNEL"


@dataclass(frozen=True, slots=True)
class Troubled(DarkIsNucleus):
    """The double, until a file in the folder of troubles says otherwise.

    `slow` holds seconds a batch; one worker takes `hang`, and hangs, or `die`, and dies.
    """

    @property
    def name(self) -> str:
        return f"double-{os.environ.get(KERNEL, 'plain')}"

    def predict(self, windows: Windows) -> BodyBoundary:
        folder = Path(os.environ[FOLDER])
        if (windows == np.array(POISON)).all(axis=-1).any() or _taken(folder / "die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if _taken(folder / "hang"):
            time.sleep(10_000)
        with (folder / "pids").open("a") as pids:
            pids.write(f"{os.getpid()}\n")
        slow = folder / "slow"
        time.sleep(float(slow.read_text()) if slow.exists() else 0.0)
        return DarkIsNucleus.predict(self, windows)


def at_work(dask_worker: Worker) -> int:
    """How many tasks a worker is at, those that were given up included."""
    return len(dask_worker.state.executing)


def _taken(wish: Path) -> bool:
    """True for the one that takes the file away."""
    try:
        wish.rename(wish.with_name(f"{wish.name}-{os.getpid()}"))
    except FileNotFoundError:
        return False
    return True


def open_troubled(model: Model, device: str) -> Troubled:
    """See `registry.OpenEngine`."""
    assert device == "cpu"
    return Troubled(upscale=model.info.upscale)
