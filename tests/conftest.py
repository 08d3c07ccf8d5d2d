"""Fixtures shared by all tests: where the real data lies, and one thread for every library by default."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import pytest

# The suite asks the same questions each time, so that a red run is the change's fault and can be made again.
# HYPOTHESIS_PROFILE=explore asks new ones, ten times as many.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads; subprocesses inherit it

gc.disable()  # until all is imported and collected: nothing of that is garbage

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("WSI_NUCSSL_SHARED", ROOT.parent / "shared"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What was imported stays to the end; no test has to search it for garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is kept between runs is kept in a folder of the tests' own; subprocesses inherit it."""
    os.environ["WSI_NUCSSL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def _data(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"needs the real data in {Path('shared', 'data', *parts)} beside the checkout")
    return path


@pytest.fixture(scope="session")
def monuseg() -> Path:
    """Folder of the 30 MoNuSeg training images: images/, labels/, annotations/, manifest.json."""
    return _data("monuseg")


@pytest.fixture(scope="session")
def monuseg_bonus() -> Path:
    """Folder of 7 later MoNuSeg images: hematoxylin planes, labels beside them, annotations/*.xml.gz."""
    return _data("monuseg_bonus")


@pytest.fixture(scope="session")
def tnbc() -> Path:
    """Folder of 30 TNBC images of 6 patients, 40× by their authors: images/, labels/; no file states it."""
    return _data("tnbc")


@pytest.fixture(scope="session")
def gbm40() -> Path:
    """Folder of 40 glioblastoma images, about 0.25 mpp: images/, labels/; no file states it."""
    return _data("gbm40")


@pytest.fixture(scope="session")
def metric_cases() -> Path:
    """Folder of label image pairs with reference metric values."""
    return _data("metric_cases")


@pytest.fixture(scope="session")
def cmu_slide() -> Path:
    """Real Aperio slide, one level, JPEG, 0.499 mpp."""
    return _data("slides", "CMU-1-Small-Region.svs")


@pytest.fixture(scope="session")
def tcga_slide() -> Path:
    """Real Aperio slide, two levels, JPEG 2000, no mpp."""
    return _data("slides", "TCGA-CR-7395-01A-01-TS1.svs")
