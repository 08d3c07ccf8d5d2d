"""Every metric of ours passes the suite that those from outside inherit."""

from __future__ import annotations

import math

from wsi_nucssl.metrics import METRICS
from wsi_nucssl.testing.metrics import MetricTests


class TestAji(MetricTests):
    name = "aji"


class TestAjiPlus(MetricTests):
    name = "aji_plus"


class TestPq(MetricTests):
    name = "pq"


class TestSq(MetricTests):
    name = "sq"


class TestDq(MetricTests):
    name = "dq"


class TestF1(MetricTests):
    name = "f1"


class TestDice1(MetricTests):
    name = "dice1"


class TestDice2(MetricTests):
    name = "dice2"


class TestPixelJaccard(MetricTests):
    name = "pixel_jaccard"


class TestHausdorff(MetricTests):
    name = "hausdorff"
    best, worst = 0.0, math.inf
    of_missing = math.nan


def test_every_metric_of_ours_has_its_class() -> None:
    assert {suite.name for suite in MetricTests.__subclasses__()} >= {*METRICS.own_names}
