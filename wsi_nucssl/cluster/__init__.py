"""The stages of many slides on the workers of a dask cluster, with the bytes that threads of one process give.

A head reads slides' tissue, sends places to workers and writes outputs; workers share its file system, predict windows
and extract blocks into the run folder. Imported only when a cluster is asked for; needs `pip install
'wsi-nucssl[cluster]'`.
"""

from typing import Final

TASK_S: Final = 900.0
"""Seconds after which a task that a worker has had counts as hung."""
