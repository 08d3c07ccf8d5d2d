"""How good predictions are: every predictor on a dataset's images, in scores, groups, oracles, stress and pictures.

`benchmark.run.benchmark` does it all; the metrics themselves are in `wsi_nucssl.metrics`. Called,
`wsi_nucssl.benchmark(...)`, the room is its job `jobs.scoring.benchmark`: see `rooms`.
"""

from wsi_nucssl.rooms import make_callable

make_callable(__name__, "wsi_nucssl.jobs.scoring:benchmark")
