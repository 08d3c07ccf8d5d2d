"""The workers that `--cluster` names, with dask's own log silent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wsi_nucssl_cli.display import say_warning

if TYPE_CHECKING:
    from wsi_nucssl.cluster.pool import Pool


@contextlib.contextmanager
def workers_of(cluster: str, task_s: float) -> Iterator[Pool | None]:
    """See `wsi_nucssl.jobs.clusters.workers_of`; what concerns people is said by errors and warnings of ours."""
    from wsi_nucssl.jobs import clusters

    with clusters.workers_of(cluster, task_s, say_warning) as pool:
        for name in filter(_is_of_dask, logging.root.manager.loggerDict):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield pool


def _is_of_dask(logger: str) -> bool:
    return logger.partition(".")[0] == "distributed"
