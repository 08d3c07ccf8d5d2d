"""The workers that `--cluster` names."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wsi_nucssl.errors import UsageError
from wsi_nucssl_cli.display import say_warning

if TYPE_CHECKING:
    from wsi_nucssl.cluster.pool import Pool


@contextlib.contextmanager
def workers_of(cluster: str, task_s: float) -> Iterator[Pool | None]:
    """The pool of a cluster's workers; None where none is asked for. What was started for it ends with it."""
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
    for name in ("distributed", *filter(_is_of_dask, logging.root.manager.loggerDict)):
        logging.getLogger(name).setLevel(
            logging.CRITICAL
        )  # errors and warnings of ours say what concerns people
    with pool_of(cluster, task_s=task_s, warn=say_warning) as pool:
        yield pool


def _is_of_dask(logger: str) -> bool:
    return logger.startswith("distributed.")
