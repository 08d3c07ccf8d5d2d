"""A toy dataset with types, all the way: finetune, load, segment, files, read back, benchmark, pack."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely

import wsi_nucssl as wn
from tests.segment import fakes
from tests.typed import toys
from wsi_nucssl.benchmark.predictors import Network
from wsi_nucssl.benchmark.run import benchmark
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.datasets.layouts.pannuke import TYPES
from wsi_nucssl.jobs.training import TrainingRun
from wsi_nucssl.models.weights import load_model
from wsi_nucssl_cli.pack import pack

QUIET = dict.fromkeys(
    [
        *("scale", "shear", "elastic_px", "stain", "stain_shift", "exchange_p", "hematoxylin_only_p"),
        *("brightness", "glass_p", "fill_p", "pen_p", "fold_p", "dust_p", "coarse_p", "blur_p"),
        *("sharpen_p", "noise_p", "jpeg_p"),
    ],
    0,
)
"""No augmentation but turns."""
RECIPE = {
    "epochs": 2,
    "crops_per_image": 80,
    "batch_size": 8,
    "crop_px": 64,
    "precision": "fp32",
    "validate_every": 2,
    "augmentation": QUIET,
    "optimisation": {"warmup_steps": 2, "learning_rate": 5e-3, "ema_decay": 0.5},
}


@pytest.fixture(scope="module")
def fold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_fold(tmp_path_factory.mktemp("pannuke"), images=4)


@pytest.fixture(scope="module")
def run(fold: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    folder = tmp_path_factory.mktemp("runs") / "typed"
    return wn.finetune(fold, folder, arch="liteunet0x2", recipe=RECIPE, types=True, device="cpu")


def test_a_toy_model_goes_all_the_way(run: TrainingRun, fold: Path, tmp_path: Path) -> None:
    model = load_model(run.folder)
    assert model.info.schema.type_names == TYPES
    assert run.validation_aji is not None
    assert run.validation_aji > 0.5

    image, labels, types = toys.scene(240, 320, seed=99)
    slide = fakes.write_slide(tmp_path / "toy.tif", image)
    outputs = {name: tmp_path / f"n.{name}" for name in ("geojson", "csv")}
    result = wn.segment(slide, model=model)
    result.to_geojson(outputs["geojson"])
    middles = [(int(point.y), int(point.x)) for point in shapely.centroid(result.polygons)]
    truth = [types.get(int(labels[place])) for place in middles]
    assert len(result) > 0.8 * len(types)
    assert np.mean(result.table.type.to_numpy() == np.array(truth)) > 0.9
    assert wn.read_nuclei(outputs["geojson"]).table.type.tolist() == result.table.type.tolist()

    wn.segment_slide(slide, outputs["geojson"], model=model, overwrite=True)
    names = [
        feature["properties"]["classification"]["name"]
        for feature in json.loads(outputs["geojson"].read_text())["features"]
    ]
    assert names == result.table.type.tolist()

    scores = wn.benchmark(fold, tmp_path / "scores", model=model, overlays=False, split="all")
    content = json.loads((tmp_path / "scores" / "results.json").read_text())["models"]["typed"]
    found = content["types"]["pq"]
    assert list(found) == list(TYPES)
    assert found["Connective"] is found["Dead"] is found["Epithelial"] is None
    assert content["types"]["mpq"] > 0.5
    assert "By type of nuclei" in scores.report.as_markdown()

    pack(str(run.folder), tmp_path / "packed.safetensors", "int8")
    packed = load_model(tmp_path / "packed.safetensors")
    assert packed.info.schema == model.info.schema
    again = wn.segment(slide, model=packed)
    assert np.mean(np.isin(again.table.type, [toys.BLUE, toys.GREEN])) > 0.9


def _scored(fold: Path, out: Path, *, engine: fakes.DarkIsNucleus) -> dict[str, bytes]:
    model = toys.model() if isinstance(engine, toys.ByColour) else fakes.model()
    benchmark(open_dataset(fold), [Network(model, engine)], out, overlays=False)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_benchmark_scores_types_where_both_have_them(fold: Path, tmp_path: Path) -> None:
    files = _scored(fold, tmp_path / "out", engine=toys.ByColour())
    model = json.loads(files["results.json"])["models"]["double"]
    assert model["types"]["mpq"] == pytest.approx(model["mean"]["pq"], abs=0.03)
    assert model["types"]["pq"][toys.BLUE] > 0.8 < model["types"]["pq"][toys.GREEN]
    for image in model["images"].values():
        known = [value for value in image["types"]["pq"].values() if value is not None]
        assert image["types"]["mpq"] == pytest.approx(np.mean(known))
    assert model["types"]["mpq"] == pytest.approx(
        np.mean([each["types"]["mpq"] for each in model["images"].values()])
    )
    rows = list(csv.DictReader(files["results.csv"].decode().splitlines()))
    assert [float(row["mpq"]) for row in rows] == [e["types"]["mpq"] for e in model["images"].values()]
    assert {row["pq Dead"] for row in rows} == {""}
    assert f"{100 * model['types']['mpq']:.2f}" in files["results.md"].decode()


def test_a_benchmark_without_types_says_nothing_of_them(fold: Path, tmp_path: Path) -> None:
    """The same scores, and not a word."""
    untyped = _scored(fold, tmp_path / "untyped", engine=fakes.DarkIsNucleus())
    typed = _scored(fold, tmp_path / "typed", engine=toys.ByColour())
    assert b"mpq" not in b"".join(untyped.values()).lower()
    plain, with_types = (json.loads(each["results.json"])["models"]["double"] for each in (untyped, typed))
    assert plain["mean"] == with_types["mean"]
    assert "types" not in plain
    assert not math.isnan(plain["mean"]["pq"])
