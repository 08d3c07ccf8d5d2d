"""How good predictions are: every predictor on a dataset's images, in scores, groups, oracles, stress and pictures.

`benchmark.run.benchmark` does it all; the metrics themselves are in `wsi_nucssl.metrics`.
"""
