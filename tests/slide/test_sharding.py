"""Shards: each slide in one, whatever the order and whoever asks; about as much tissue in each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.segment import fakes
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.naming import with_names
from wsi_nucssl.slide import RGB, open_slide, tissue_mask
from wsi_nucssl.slide.sharding import Shard, assign, estimate_mm2, in_shard, remembered_areas, split_off
from wsi_nucssl.slide_list import ListedSlide

SAMPLE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"

WEIGHTS = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1e4), max_size=40)


@given(WEIGHTS, st.integers(1, 12), st.integers(0, 99))
def test_each_slide_is_in_one_shard_whatever_the_order(
    weights: dict[str, float], count: int, seed: int
) -> None:
    shards = assign(weights, count)
    assert shards.keys() == weights.keys()
    assert {*shards.values()} <= {*range(1, count + 1)}
    shuffled = list(weights.items())
    random.Random(seed).shuffle(shuffled)
    assert assign(dict(shuffled), count) == shards


@given(WEIGHTS, st.integers(1, 12))
def test_no_shard_has_more_than_another_by_more_than_one_slide(weights: dict[str, float], count: int) -> None:
    shards = assign(weights, count)
    loads = [sum(weights[name] for name in shards if shards[name] == shard) for shard in range(1, count + 1)]
    assert max(loads) - min(loads) <= max(weights.values(), default=0) + 1e-6 * sum(loads)


def test_shards_are_written_as_people_count() -> None:
    assert Shard.parse(" 2/8 ") == Shard(2, 8) == Shard.parse(Shard(2, 8))
    for wrong in ("0/8", "9/8", "1/0", "2", "2/8/1", "-1/8", "a/b", "1.0/2", ""):
        with pytest.raises(UsageError, match=f"`shard` must be such as 2/8.*{wrong}"):
            Shard.parse(wrong)


@pytest.fixture(scope="module")
def tissue() -> RGB:
    with open_slide(SAMPLE) as slide:
        return slide.read_level(0, Box(1000, 1000, 1600, 1600))


def _slides(folder: Path, tissue: RGB, *sides: int) -> list[ListedSlide]:
    paths = []
    for number, side in enumerate(sides):
        glass = np.full((600, 600, 3), 240, np.uint8)
        glass[:side, :side] = tissue[:side, :side]
        paths.append(fakes.write_slide(folder / f"{number}.tif", glass))
    return [*with_names([ListedSlide(path) for path in paths])]


def test_the_estimate_is_near_the_tissue() -> None:
    with open_slide(SAMPLE) as slide:
        area = tissue_mask(slide).area_mm2
    assert area is not None
    assert 0.7 * area < estimate_mm2(SAMPLE) < 1.4 * area


def test_jobs_agree_whenever_they_start(tmp_path: Path, tissue: RGB) -> None:
    slides = _slides(tmp_path, tissue, 600, 100, 300, 0, 500, 200, 400)
    (tmp_path / "bad.tif").write_bytes(b"no slide")
    slides = [*with_names([ListedSlide(each.slide) for each in slides] + [ListedSlide(tmp_path / "bad.tif")])]
    out = tmp_path / "out"
    first = in_shard(slides, Shard(1, 3), out)
    (out / "0.geojson").touch()  # what was done in between
    rest = [in_shard(slides[::-1], Shard(index, 3), out) for index in (2, 3)]
    names = [each.output for shard in (first, *rest) for each in shard]
    assert sorted(names) == sorted(each.output for each in slides)
    assert [each for each in slides if each in first] == list(first)
    mine, others = split_off(slides, "1/3", out)
    assert mine == first
    assert {*mine, *others} == {*slides}
    assert not {*mine} & {*others}
    assert split_off(slides, None, out) == (tuple(slides), ())


def test_estimates_are_made_once_until_the_file_changes(tmp_path: Path, tissue: RGB) -> None:
    slides = _slides(tmp_path, tissue, 300, 200)
    out = tmp_path / "out"
    areas = remembered_areas(slides, out)
    assert areas["0"] > areas["1"] > 0
    memory = out / ".batch.tissue.json"
    kept = json.loads(memory.read_text())
    kept["0"][1] = 77.0  # what another job found holds for all
    memory.write_text(json.dumps(kept))
    assert remembered_areas(slides, out) == {"0": 77.0, "1": areas["1"]}
    os.utime(slides[0].slide)  # type: ignore[arg-type]
    assert remembered_areas(slides, out) == areas
    memory.write_text("{damaged")
    assert remembered_areas(slides, out) == areas


def test_jobs_that_start_at_once_agree(tmp_path: Path, tissue: RGB) -> None:
    slides = _slides(tmp_path, tissue, 600, 100, 300, 500, 200)
    code = (
        "import sys; from pathlib import Path; from wsi_nucssl.slide.inputs import gather_slides\n"
        "from wsi_nucssl.slide.sharding import split_off\n"
        "listed = gather_slides([Path(sys.argv[1])]).slides\n"
        "print(*(each.output for each in split_off(listed, sys.argv[2], Path(sys.argv[3]))[0]))\n"
    )
    (tmp_path / "in").mkdir()
    for each in slides:
        Path(str(each.slide)).rename(tmp_path / "in" / each.slide.name)
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "in"), f"{n}/3", str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in (3, 1, 2)
    ]
    said = [job.communicate()[0].split() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0]
    assert sorted(name for names in said for name in names) == ["0", "1", "2", "3", "4"]
