"""The workers that ⟨cluster⟩ names, for whatever job; dask is imported only when they are asked for."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from wsi_nucssl.checks import within
from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from wsi_nucssl.cluster.pool import Pool
    from wsi_nucssl.locations import Location
    from wsi_nucssl.pretext.groups import FindTiles, FoundTiles, TileSettings
    from wsi_nucssl.segment.options import SegmentOptions
    from wsi_nucssl.segment.run import Steps
    from wsi_nucssl.tiles.ingest import CopyTiles

_LONGEST_S: Final = 1e9


def warn_of_cluster(message: str) -> None:
    """What a pool says, to Python users."""
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@contextlib.contextmanager
def workers_of(
    cluster: str | Client | None, task_s: float = TASK_S, warn: Callable[[str], None] = warn_of_cluster
) -> Iterator[Pool | None]:
    """The pool of a cluster's workers, as `cluster.connecting.pool_of` makes it; None where no cluster is given.

    Raises
    ------
    UsageError
        Dask is not installed, or what is given is no cluster or no time.
    ClusterError
        The scheduler does not answer.
    """
    within("task_s", task_s, 0, _LONGEST_S, above=True)
    if not cluster:
        yield None
        return
    try:
        from wsi_nucssl.cluster.connecting import pool_of
    except ModuleNotFoundError as error:
        raise UsageError(
            f"⟨cluster⟩ needs {error.name}, which is not installed",
            remedy="Install it: pip install 'wsi-nucssl[cluster]'",
        ) from error
    with pool_of(cluster, task_s=task_s, warn=warn) as pool:
        yield pool


def steps_with(pool: Pool | None, steps: Steps | None, options: SegmentOptions) -> Steps | None:
    """What segmenting does at each step: as given, or the same on the workers of a pool.

    Raises
    ------
    UsageError
        An option bounds what only this process does.
    """
    if pool is None:
        return steps
    if options.memory is not None:
        raise UsageError(
            "⟨memory⟩ bounds one process, and with ⟨cluster⟩ others do the work",
            remedy="Leave it out, and start workers with dask's --memory-limit",
        )
    from wsi_nucssl.cluster.executor import steps_on

    return steps_on(pool, steps)


def find_with(
    cluster: str | Client | None, task_s: float = TASK_S, warn: Callable[[str], None] = warn_of_cluster
) -> FindTiles | None:
    """What finds the tiles of slides: this process, or the workers of a cluster, which end when they are found."""
    if not cluster:
        return None

    def find(slides: Sequence[Location], settings: TileSettings) -> Sequence[FoundTiles]:
        with workers_of(cluster, task_s, warn) as pool:
            from wsi_nucssl.cluster.finding import found_on

            assert pool is not None
            return found_on(pool, slides, settings)

    return find


def copy_with(pool: Pool | None) -> CopyTiles | None:
    """What copies tiles: threads of this process, or the workers of a pool."""
    if pool is None:
        return None
    from wsi_nucssl.cluster.tiling import copy_on

    return copy_on(pool)
