"""The pretext tasks by name: the paper's own, its two halves, and the rivals of its Table 2."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, get_args

from wsi_nucssl.errors import UsageError
from wsi_nucssl.pretext.colorme import ColorMe
from wsi_nucssl.pretext.jigsaw import Jigsaw
from wsi_nucssl.pretext.rotation import Rotation
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import PretextTask
from wsi_nucssl.pretext.triplet_rank import TripletRank

TaskName = Literal["triplet-rank", "triplet", "rank", "jigsaw", "rotation", "colorme"]
TASK_NAMES: Final[tuple[TaskName, ...]] = get_args(TaskName)

TASKS: Final[dict[TaskName, Callable[[TaskSettings], PretextTask]]] = {
    "triplet-rank": TripletRank,
    "triplet": partial(TripletRank, rank_weight=0.0),
    "rank": partial(TripletRank, triplet_weight=0.0),
    "jigsaw": Jigsaw,
    "rotation": Rotation,
    "colorme": ColorMe,
}


def build_task(name: TaskName, settings: TaskSettings) -> PretextTask:
    """The task of that name.

    Raises
    ------
    UsageError : there is no such task, or the settings do not suit it.
    """
    if name not in TASKS:
        raise UsageError(f"unknown pretext task {name!r}", remedy=f"Choose one of {', '.join(TASK_NAMES)}")
    return TASKS[name](settings)
