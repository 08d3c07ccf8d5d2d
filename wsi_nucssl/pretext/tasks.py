"""The pretext tasks by name: the paper's own, its two halves, and the rivals of its Table 2.

Reading names and help imports no torch. A task is one module beside this one and one line here, or an entry point of
the group `wsi_nucssl.tasks` in a package from outside (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.pretext.settings import TaskSettings
    from wsi_nucssl.pretext.task import PretextTask

TASKS: Final[Registry[Callable[[TaskSettings], PretextTask]]] = Registry(
    "pretext task",
    "wsi_nucssl.tasks",
    Plugin(
        "triplet-rank",
        "wsi_nucssl.pretext.triplet_rank:TripletRank",
        "scale triplets and count ranking, the paper's task",
    ),
    Plugin("triplet", "wsi_nucssl.pretext.triplet_rank:TRIPLET_ALONE", "its scale triplets alone"),
    Plugin("rank", "wsi_nucssl.pretext.triplet_rank:RANK_ALONE", "its count ranking alone"),
    Plugin("jigsaw", "wsi_nucssl.pretext.jigsaw:Jigsaw", "in which of 100 orders nine pieces lie"),
    Plugin("rotation", "wsi_nucssl.pretext.rotation:Rotation", "which of four rotations a view is in"),
    Plugin("colorme", "wsi_nucssl.pretext.colorme:ColorMe", "red and blue from green, and their histograms"),
)


def build_task(name: str, settings: TaskSettings) -> PretextTask:
    """The task of that name.

    Raises
    ------
    UsageError
        There is no such task, or the settings do not suit it.
    """
    return TASKS.get(name)(settings)
