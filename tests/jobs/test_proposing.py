"""Tiles that are proposed for annotation: doubtful and unlike, whole folders, outlines that wait for a person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import read_rgb
from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import DatasetError, OutputExists, SlideError, UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.jobs.proposing import propose
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment.proposals import proposals, spread
from wsi_nucssl.slide import RGB, open_slide

SAMPLE = Path(__file__).parents[2] / "sample_slides" / "sample.svs"


def made(folder: Path, **more: object) -> Path:
    return propose(SAMPLE, folder, 5, side_px=256, **{"engine": DarkIsNucleus(upscale=2), **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("proposed") / "tiles")


def test_tiles_are_parts_of_the_slide_that_say_where_they_lie(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest) == 5
    assert {path.stem for path in folder.glob("*.png")} == {path.stem for path in folder.glob("*.geojson")}
    with open_slide(SAMPLE) as slide:
        assert slide.mpp is not None
        for name, entry in manifest.items():
            x, y, width, height = entry["region"]
            assert name == f"sample-x{x}-y{y}"
            assert entry["mpp"] == pytest.approx(max(0.25, slide.mpp.mean))
            assert 0 <= entry["uncertainty"] <= 1
            assert read_rgb(folder / f"{name}.png").shape == (256, 256, 3)
            assert (width, height) == (256, 256)
            np.testing.assert_array_equal(
                read_rgb(folder / f"{name}.png"), slide.read((x, y, width, height), mpp=entry["mpp"])
            )


def test_outlines_train_once_somebody_has_exported_them(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="as propose wrote them"):
        open_dataset(folder)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    chosen = sorted(tmp_path.glob("*.geojson"))[0]
    content = json.loads(chosen.read_text())
    assert {each["properties"]["objectType"] for each in content["features"]} == {"annotation"}
    assert len({each["id"] for each in content["features"]}) == len(content["features"])
    del content["wsi_nucssl"]
    chosen.write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    (sample,) = dataset
    assert sample.id == chosen.stem
    assert sample.mpp == json.loads((folder / "manifest.json").read_text())[chosen.stem]["mpp"]
    assert sample.labels().max() == len(content["features"])


def test_the_same_call_proposes_the_same(folder: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "tiles")
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }
    with pytest.raises(OutputExists):
        made(again)
    assert made(again, overwrite=True) == again


class Counting:
    """An engine that counts the windows that it is shown."""

    upscale = 2
    name, streams, batch_px = "double", 1, 0

    def __init__(self) -> None:
        self.windows = 0

    def predict(self, windows: Windows) -> BodyBoundary:
        self.windows += len(windows)
        return DarkIsNucleus(upscale=2).predict(windows)


@pytest.mark.parametrize(("held_bytes", "again"), [(192 << 20, 0), (0, 5)])
def test_a_tile_is_predicted_once_while_there_is_room(
    folder: Path, tmp_path: Path, held_bytes: int, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_nucssl.jobs.proposing._HELD_BYTES", held_bytes)
    engine, told = Counting(), []
    made(tmp_path / "tiles", engine=engine, on_progress=lambda *counts: told.append(counts))
    count = len(told)
    assert told == [(number + 1, count) for number in range(count)]
    assert engine.windows == count + again
    assert {p.name: p.read_bytes() for p in (tmp_path / "tiles").iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


def test_what_cannot_be_proposed_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="count"):
        propose(SAMPLE, tmp_path / "tiles", 0)
    with pytest.raises(SlideError, match="no tile of 1024 µm"):
        propose(SAMPLE, tmp_path / "tiles", side_px=4096, engine=DarkIsNucleus(upscale=2))
    assert not list(tmp_path.iterdir())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12), st.integers(1, 15))
def test_choices_are_different_and_begin_with_the_most_uncertain(
    points: list[tuple[int, int]], count: int
) -> None:
    features = np.array(points, np.float64)
    uncertainties = np.arange(len(points), dtype=np.float64)[::-1].copy()
    chosen = spread(features, uncertainties, count)
    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen) == min(count, len(points))


class Flat:
    """A canvas of one colour."""

    def read(self, box: Box) -> RGB:
        return np.full((*box.size.shape_rc, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("body", "boundary", "bits"), [(255, 0, 0.0), (100, 28, 1.0), (26, 25, 0.7219), (0, 0, 0.0), (2, 2, 0.0)]
)
def test_uncertainty_is_the_entropy_of_being_a_nucleus(body: int, boundary: int, bits: float) -> None:
    def predict(_box: Box, image: RGB) -> Probabilities:
        return np.stack([np.full(image.shape[:2], each, np.uint8) for each in (body, boundary, 7)])

    (found,) = proposals(Flat(), [Box(0, 0, 8, 8)], predict, 1)  # type: ignore[arg-type]
    assert found.uncertainty == pytest.approx(bits, abs=1e-4)


def test_what_is_unlike_goes_before_what_is_a_little_less_sure() -> None:
    features = np.array([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]])
    assert spread(features, np.array([1.0, 0.9, 0.1]), 2) == [0, 2]
