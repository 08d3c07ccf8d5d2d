"""What a worker has at hand: engines and slides, opened once in a process and kept from task to task."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Self, TypeVar

import numpy as np
from distributed import get_worker

from wsi_nucssl.cluster.facts import Facts, NetworkSpec, WorkerRefused
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.errors import WsiNucsslError
from wsi_nucssl.files import atomic_path
from wsi_nucssl.locations import Location, Url, absolute
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.schema import OutputSchema
from wsi_nucssl.segment.probabilities import ProbabilityStore
from wsi_nucssl.segment.windows import ReadRGB, WindowGrid
from wsi_nucssl.slide import Canvas, identity, open_slide
from wsi_nucssl.slide.fill import Fill
from wsi_nucssl.slide.part import PartChoice

SEEN_AFTER_S: Final = 75.0
"""A shared file system shows a new file this late at most: NFS keeps what it knows of a folder for up to a minute."""
_SLIDES: Final = 3
_ENGINES: Final = 2

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A slide as every worker opens it.

    Attributes
    ----------
    slide : Location
        Absolute.
    sha256 : str
        Its `identity`.
    reader : str
        Which backend reads it.
    part : PartChoice
        Which scene and plane of the file.
    scale_x, scale_y : float
        Level-0 px per px of the canvas.
    """

    slide: Location
    sha256: str
    reader: str
    part: PartChoice
    scale_x: float
    scale_y: float

    @classmethod
    def of(cls, canvas: Canvas) -> Self:
        """That of a canvas which is open here."""
        slide = canvas.slide
        return cls(
            absolute(slide.path),
            identity(slide),
            slide.reader,
            slide.part.choice,
            canvas.scale_x,
            canvas.scale_y,
        )


@dataclass(frozen=True, slots=True)
class SlideSpec:
    """All that a worker has to know to do any task of a slide; small, since it travels with each.

    Attributes
    ----------
    source : SourceSpec
        The slide.
    network : NetworkSpec
        What predicts.
    facts : Facts
        What a worker has to be.
    store, blocks : Path
        Of the run, absolute.
    grid : WindowGrid
        All windows.
    schema : OutputSchema
        What the model answers.
    config : InstanceConfig
        How nuclei are extracted.
    batch_size : int
        Windows at a time.
    filled : bool
        Something lies outside the scan; the head has kept what.
    token : str
        Of this attempt: what an earlier one at the same place left in memory is not used.
    """

    source: SourceSpec
    network: NetworkSpec
    facts: Facts
    store: Path
    blocks: Path
    grid: WindowGrid
    schema: OutputSchema
    config: InstanceConfig
    batch_size: int
    filled: bool
    token: str

    @property
    def fill(self) -> Path:
        """Where the head keeps what lies outside the scan."""
        return self.blocks / "fill.npz"


def save_fill(path: Path, fill: Fill) -> None:
    """Keep what lies outside the scan for the workers, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, mask=fill.mask, colours=fill.colours, glass=fill.glass, scale=fill.scale)


def _load_fill(path: Path) -> Fill:
    with np.load(path) as kept:
        return Fill(kept["mask"], kept["colours"], kept["glass"], float(kept["scale"]))


class Kept(Generic[Key, Value]):
    """The last few things that were opened; one is opened once, whichever threads ask for it."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, opener: Callable[[Key], Value]) -> Value:
        """What is kept for a key, opened if it is not there."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = opener(key)
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


_engines: Final[Kept[NetworkSpec, tuple[Engine, Facts]]] = Kept(_ENGINES)
_sources: Final[Kept[SourceSpec, Canvas]] = Kept(_SLIDES)
_stores: Final[Kept[SlideSpec, ProbabilityStore]] = Kept(_SLIDES)
_readers: Final[Kept[SlideSpec, ReadRGB]] = Kept(_SLIDES)


def opened_engine(network: NetworkSpec) -> tuple[Engine, Facts]:
    """The engine, and what this worker is with it."""
    return _engines.get(network, _open_engine)


def engine_of(spec: SlideSpec) -> Engine:
    """The engine of a slide's task.

    Raises
    ------
    WorkerRefused
        This worker would give other bytes than the run has.
    """
    engine, facts = opened_engine(spec.network)
    if difference := facts.difference(spec.facts):
        raise WorkerRefused.here(f"would give other bytes: it has {difference}")
    return engine


def canvas_of(source: SourceSpec) -> Canvas:
    """The slide's canvas.

    Raises
    ------
    WorkerRefused
        The slide cannot be seen from here, or is another file here.
    SlideError
        It cannot be read.
    """
    return _sources.get(source, _open_source)


def reader_of(spec: SlideSpec) -> ReadRGB:
    """What reads the slide with its fill painted."""
    return _readers.get(spec, _open_reader)


def store_of(spec: SlideSpec) -> ProbabilityStore:
    """The run's probabilities.

    Raises
    ------
    WorkerRefused
        The run folder cannot be seen from here.
    """
    return _stores.get(spec, _open_store)


def is_wanted() -> bool:
    """False once the task that this thread works on was given up: nobody waits for its result."""
    try:
        worker = get_worker()
        task = worker.state.tasks.get(worker.get_current_task())
    except (ValueError, KeyError):  # no worker's thread
        return True
    return task is not None and task.state != "cancelled"


def comes(is_there: Callable[[], bool], seconds: float = SEEN_AFTER_S) -> bool:
    """True if what was promised is there, or comes within some time: shared file systems show what is new late."""
    pause, until = 0.02, time.monotonic() + seconds
    while not is_there():
        if time.monotonic() + pause > until or not is_wanted():
            return False
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
    return True


def appears(path: Path, seconds: float = SEEN_AFTER_S) -> bool:
    """True if a file that was promised is there, or `comes`."""

    def is_there() -> bool:
        if path.exists():
            return True
        # Listing the folder has NFS ask the server again, instead of saying what it knew.
        return path.parent.is_dir() and path.name in {each.name for each in path.parent.iterdir()}

    return comes(is_there, seconds)


def _open_engine(network: NetworkSpec) -> tuple[Engine, Facts]:
    try:
        model = load_model(network.path)
        if model.sha256 != network.sha256:
            raise WorkerRefused.here(f"sees other weights at {network.path}")
        engine = open_engine(model, network.device, network.engine, network.views)
    except WsiNucsslError as error:
        raise WorkerRefused.here(f"cannot open the network: {error}") from error
    return engine, Facts.of(engine, model.sha256)


def _open_source(source: SourceSpec) -> Canvas:
    if not isinstance(source.slide, Url) and not appears(source.slide, 5.0):
        raise WorkerRefused.here(f"cannot see {source.slide}", for_slide=True)
    slide = open_slide(source.slide, reader=source.reader, scene=source.part.scene, focus=source.part.focus)
    if identity(slide) != source.sha256:
        raise WorkerRefused.here(f"sees another file at {source.slide}", for_slide=True)
    return Canvas.at_scale(slide, source.scale_x, source.scale_y)


def _open_reader(spec: SlideSpec) -> ReadRGB:
    canvas = canvas_of(spec.source)
    if not spec.filled:
        return canvas.read
    if not appears(spec.fill):
        raise WorkerRefused.here(f"cannot see the run folder {spec.blocks.parent}")
    return _load_fill(spec.fill).painted(canvas)


def _open_store(spec: SlideSpec) -> ProbabilityStore:
    if not appears(spec.store / "zarr.json"):
        raise WorkerRefused.here(f"cannot see the run folder {spec.store.parent}")
    return ProbabilityStore(spec.store, spec.grid, (), spec.schema)
