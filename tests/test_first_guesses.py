"""What a notebook user types first: right where it has one meaning, else refused by the parameter's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wsi_nucssl as wn
from tests.segment import fakes
from wsi_nucssl.jobs.arguments import locations, paths, recipe_of, several
from wsi_nucssl.locations import Url
from wsi_nucssl.train.recipe import Recipe

SLIDE = Path(__file__).parent.parent / "sample_slides" / "sample.svs"
REGION = (600, 500, 200, 150)
IMAGE = np.full((20, 30, 3), 240, np.uint8)
guess: Any = wn
"""For calls that a type checker would not let pass."""


def _segment(source: Any = SLIDE, **options: Any) -> wn.Result:
    known = {"region": REGION, "model": fakes.model(), "engine": fakes.DarkIsNucleus()}
    return wn.segment(source, **{**known, **options})


def _tissue(method: Any) -> object:
    with wn.open_slide(SLIDE) as slide:
        return wn.tissue_mask(slide, method)


@pytest.fixture(scope="module")
def found() -> wn.Result:
    return _segment()


@pytest.mark.parametrize(
    "same",
    [
        lambda: _segment(str(SLIDE)),
        lambda: _segment(region=[*REGION]),
        lambda: _segment(region=np.array(REGION)),
        lambda: _segment(mpp=(0.25, 0.25)),
        lambda: _segment(mpp=wn.Mpp(0.25, 0.25)),
        lambda: _segment(model=fakes.model()),
    ],
)
def test_ways_to_say_the_same(found: wn.Result, same: Callable[[], wn.Result]) -> None:
    assert len(found) > 5
    assert same().table.equals(found.table)


IMAGES = [
    (IMAGE / 255, "255"),
    (IMAGE.astype(np.uint16), "255"),
    (np.dstack([IMAGE, IMAGE[..., 0]]), "alpha"),
    (IMAGE[..., 0], "grey"),
    (IMAGE[..., :1], "grey"),
    (IMAGE.transpose(2, 0, 1), "channels last"),
    (IMAGE[None], "one picture"),
    (IMAGE[:0], "one picture"),
]


@pytest.mark.parametrize(("image", "remedy"), IMAGES)
def test_an_image_of_another_kind_hears_how_it_becomes_one(image: Any, remedy: str) -> None:
    with pytest.raises(wn.WsiNucsslError, match=f"uint8 RGB.*{remedy}"):
        _segment(image, region=None, mpp=0.25)
    with pytest.raises(wn.WsiNucsslError, match=remedy):
        guess.segment_image(fakes.DarkIsNucleus(), image, fakes.model().info.instances)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: _segment(None), "`source` is a slide's path, an open slide or an RGB image"),
    (lambda: _segment([SLIDE, SLIDE]), "`source`"),
    (lambda: _segment(IMAGE.tolist(), mpp=0.25), "numpy.asarray"),
    (lambda: _segment(IMAGE, region=None, mpp=400), "outside 0.05"),
    (lambda: _segment(mpp=(0.25, 0.5)), "`mpp` is one number"),
    (lambda: _segment(region=(600.0, 500, 200, 150)), "`region`.*Round"),
    (lambda: _segment(engine=None), "`engine`"),
    (lambda: _segment(engine="onnx"), "`engine`"),
    (lambda: _segment(views=2), "`views` belongs to the engine.*open_engine"),
    (lambda: _segment(device="cpu"), "`device` belongs to the engine"),
    (lambda: _segment(model=3), "`model`"),
    (lambda: _segment(tissue=3), "`tissue` 3 is neither a file nor a way to find tissue.*stain"),
    (lambda: _segment(tissue={}), "`tissue` {} is neither"),
    (lambda: _segment(reader={}), "no reader {}"),
    (lambda: _tissue(b"stain"), "`tissue` b'stain' is neither"),
    (lambda: guess.TileConfig(mpp=0.5, tissue=None), "`tissue` None is neither"),
    (lambda: guess.open_slide(SLIDE, reader=[]), "no reader"),
    (lambda: guess.open_dataset("nowhere", layout={}), "no layout is called {}"),
    (lambda: _segment("memory://nowhere/a.svs"), "memory://nowhere/a.svs: it is not there"),
    (lambda: guess.load_model(fakes.model()), "`name_or_path` must be a path"),
    (lambda: guess.load_model("liteunet"), "Bundled models"),
    (lambda: guess.open_engine(3), "`model`"),
    (lambda: guess.open_engine(fakes.model(), engine={}), "no engine {}"),
    (lambda: guess.read_nuclei(None), "`path` must be a path"),
    (lambda: guess.read_nuclei("nowhere.geojson"), "there is no such file"),
    (lambda: guess.aji([[1]], [[1]]), "`true` is not a label image"),
    (lambda: guess.aji(np.eye(3, dtype=np.int32), None), "`pred` is not a label image"),
    (lambda: guess.label_instances(np.zeros((3, 8, 8)), guess.InstanceConfig()), "`probabilities`"),
    (lambda: guess.label_instances(np.zeros((8, 8), np.uint8), guess.InstanceConfig()), "`probabilities`"),
    (lambda: guess.tile_loader(None), "`stores` must be a path"),
    (lambda: guess.TileStore.open("nowhere"), "there is no tile store"),
    (lambda: guess.open_dataset("nowhere"), "no such folder"),
    (lambda: guess.Split.read("nowhere.json"), "cannot be read"),
    (lambda: guess.segment_slide(IMAGE, "a.geojson"), "`slide` must be a path"),
    (lambda: guess.segment_slide(SLIDE, None), "`output` must be a path"),
    (lambda: guess.segment_slide(SLIDE, "a.geojson", mpp=(0.2, 0.3)), "`mpp` is one number"),
    (lambda: guess.segment_slide(SLIDE, "a.geojson", engine=object()), "`engine`"),
    (lambda: guess.pretrain(SLIDE, None), "`run` must be a path"),
    (lambda: guess.pretrain(SLIDE, "run", loader_threads=0), "`loader_threads`"),
    (lambda: guess.pretrain(SLIDE, "run", recipe=3), "`recipe`"),
    (lambda: guess.pretrain(SLIDE, "run", task="jigsw"), "`task`"),
    (lambda: guess.finetune(None, "run"), "`datasets` must be a path"),
    (lambda: guess.finetune("nowhere", "run", weights=["a=1"]), "`weights`"),
    (lambda: guess.finetune("nowhere", "run", start=7), "`start` must be a path"),
    (lambda: guess.plan_slides(SLIDE, formats=3), "no format '3'"),
    (lambda: guess.plan_slides(SLIDE, formats=[{}]), "no format '{}'"),
    (lambda: guess.segment_slides(SLIDE, "out", cluster=3), "`cluster` 3 is no cluster"),
    (lambda: guess.segment_slides(SLIDE, "out", task_s="long"), "`task_s`"),
    (lambda: guess.pretrain(SLIDE, "run", cluster=("local:2",)), "`cluster` .* is no cluster"),
    (lambda: guess.benchmark("nowhere", None), "`output` must be a path"),
]


@pytest.mark.parametrize(("call", "fault"), REFUSED)
def test_a_wrong_guess_is_refused_in_words(call: Callable[[], object], fault: str) -> None:
    with pytest.raises(wn.WsiNucsslError, match=fault):
        call()


def test_rows_are_picked_as_in_pandas(found: wn.Result) -> None:
    table = found.table
    by_size = table.sort_values("area_um2")
    assert {*found[by_size.area_um2 > 20].ids} == {*table.id[table.area_um2 > 20]}  # it goes by the index
    assert [*found[by_size.index].ids] == [*by_size.id]
    assert [*found[[]].ids] == []


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (lambda _: "area_um2", r"table\['area_um2'\]"),
        (lambda table: table[table.area_um2 > 20], r"table\.index"),
        (lambda _: [True, False], "each of the"),
        (lambda _: True, "each of the"),
        (lambda table: (table.area_um2 > 20)[table.area_um2 > 20], "each of the"),
    ],
)
def test_what_picks_no_rows_is_refused(found: wn.Result, rows: Callable[[Any], Any], fault: str) -> None:
    with pytest.raises(wn.WsiNucsslError, match=fault):
        found[rows(found.table)]
    with pytest.raises(IndexError):  # iterating over a result ends by it
        found[len(found)]


def _foreign(path: Path, *geometries: Any) -> Path:
    features = [{"type": "Feature", "geometry": each, "properties": None} for each in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}


def test_any_result_plots_without_a_word(found: wn.Result, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    foreign = wn.read_nuclei(_foreign(tmp_path / "a.geojson", SQUARE))  # of no known resolution
    assert foreign.plot().child_axes[0].get_ylabel() == "area (px²)"
    assert found.plot().child_axes[0].get_ylabel() == "area (µm²)"
    found.table["nothing"] = np.nan
    found.plot(color_by="nothing")
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"ax": "area_um2"}, "`ax`.*`color_by`"),
        ({"color_by": "area"}, "`color_by` 'area'"),
        ({"color_by": 3}, "`color_by` 3"),
        ({"cmap": "virdis"}, "`cmap` 'virdis'.*viridis"),
    ],
)
def test_what_cannot_be_drawn_is_named(found: wn.Result, options: dict[str, Any], fault: str) -> None:
    with pytest.raises(wn.WsiNucsslError, match=fault):
        found.plot(**options)


@pytest.mark.parametrize(
    ("geometry", "fault"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "feature 1.*Point"),
        (None, "feature 1.*without geometry"),
        ({"type": "Polygon", "coordinates": []}, "feature 1.*without points"),
    ],
)
def test_a_feature_that_is_no_polygon_is_counted_out(tmp_path: Path, geometry: Any, fault: str) -> None:
    with pytest.raises(wn.WsiNucsslError, match=fault):
        wn.read_nuclei(_foreign(tmp_path / "a.geojson", SQUARE, geometry))


def test_one_or_several_places() -> None:
    one_by_one: Any = iter(["x"])
    assert paths("a", "x") == paths("a", [Path("x")]) == paths("a", one_by_one) == (Path("x"),)
    assert locations("a", "s3://b/x.svs") == (Url("s3://b/x.svs"),)
    assert several("name") == ("name",)
    assert several(None) == (None,)


def test_a_recipe_comes_as_a_file_as_values_or_as_it_is(tmp_path: Path) -> None:
    recipe = Recipe().changed({"epochs": 3})
    (tmp_path / "recipe.yaml").write_text("epochs: 3\n")
    for given in (recipe, {"epochs": 3}, tmp_path / "recipe.yaml", str(tmp_path / "recipe.yaml")):
        assert recipe_of(Recipe, given) == recipe
    assert recipe_of(Recipe, None) == Recipe()
