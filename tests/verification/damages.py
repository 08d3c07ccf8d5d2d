"""What can happen to results, by name: the file, the kind of fault that is to be found, and the damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np


def flip(path: Path, at: float = 0.5) -> None:
    """Change one byte, `at` of the way through a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0x01
    path.write_bytes(content)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def edit(path: Path, change: Callable[[list[Any]], object]) -> None:
    """Change the features of a GeoJSON."""
    content = json.loads(path.read_text())
    change(content["features"])
    path.write_text(json.dumps(content))


def ring(feature: Any) -> list[list[float]]:
    points: list[list[float]] = feature["geometry"]["coordinates"][0]
    return points


def cross(feature: Any) -> None:
    """Make a bow tie of an outline."""
    x, y = ring(feature)[0]
    ring(feature)[:] = [[x, y], [x + 9, y + 9], [x + 9, y], [x, y + 9], [x, y]]


def swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


SHAPES = "shapes/nuclei/shapes.parquet"


def sort_rows(path: Path) -> None:
    """As somebody does who works with it, and saves it."""
    data = anndata.read_h5ad(path)
    data[np.argsort(-data[:, "area_um2"].X.ravel(), kind="stable")].copy().write_h5ad(path)


def choose_rows(path: Path) -> None:
    data = anndata.read_h5ad(path)
    data[data[:, "area_um2"].X.ravel() > np.median(data[:, "area_um2"].X)].copy().write_h5ad(path)


def chunks(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "c").rglob("*") if path.is_file())


DAMAGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "a cut GeoJSON": ("batch/one.geojson", "damaged", cut),
    "a flipped byte in a GeoJSON": ("batch/one.geojson", "changed", flip),
    "a flipped byte in a CSV": ("batch/one.csv", "changed", flip),
    "a cut CSV": ("batch/one.csv", "damaged", cut),
    "a truncated Parquet": ("batch/one.parquet", "damaged", cut),
    "a flipped byte in a Parquet": ("batch/one.parquet", "changed", flip),
    "a polygon outside the slide": (
        "batch/one.geojson",
        "outside",
        lambda path: edit(path, lambda f: [p.__setitem__(0, p[0] + 5000) for p in ring(f[3])]),
    ),
    "a polygon that crosses itself": (
        "batch/one.geojson",
        "polygon",
        lambda path: edit(path, lambda f: cross(f[3])),
    ),
    "a ring that is open": ("batch/one.geojson", "ring", lambda path: edit(path, lambda f: ring(f[3]).pop())),
    "an id twice": (
        "batch/one.geojson",
        "id",
        lambda path: edit(path, lambda f: f[3].__setitem__("id", f[1]["id"])),
    ),
    "a nucleus twice": ("batch/one.geojson", "count", lambda path: edit(path, lambda f: f.append(f[0]))),
    "a nucleus left out": ("batch/one.geojson", "count", lambda path: edit(path, lambda f: f.pop())),
    "a class without a colour": (
        "batch/one.geojson",
        "qupath",
        lambda path: edit(path, lambda f: f[3]["properties"]["classification"].pop("color")),
    ),
    "a name that is null": (
        "batch/one.geojson",
        "qupath",
        lambda path: edit(path, lambda f: f[3]["properties"].__setitem__("name", None)),
    ),
    "a measurement that is a text": (
        "batch/one.geojson",
        "measurement",
        lambda path: edit(path, lambda f: f[3]["properties"]["measurements"].__setitem__("Solidity", "NaN")),
    ),
    "no outline": (
        "batch/one.geojson",
        "geometry",
        lambda path: edit(path, lambda f: f[3].__setitem__("geometry", None)),
    ),
    "a point for an outline": (
        "batch/one.geojson",
        "geometry",
        lambda path: edit(path, lambda f: f[3]["geometry"].update(type="Point", coordinates=[1, 2])),
    ),
    "a list without its collection": (
        "batch/one.geojson",
        "collection",
        lambda path: path.write_text(path.read_text().replace("FeatureCollection", "GeometryCollection")),
    ),
    "a truncated AnnData": ("batch/one.h5ad", "damaged", cut),
    "an empty AnnData": ("batch/one.h5ad", "damaged", lambda path: path.write_bytes(b"")),
    "a flipped byte in an AnnData": ("batch/one.h5ad", "changed", flip),
    "rows of an AnnData that were sorted": ("batch/one.h5ad", "damaged", sort_rows),
    "rows of an AnnData that were chosen": ("batch/one.h5ad", "damaged", choose_rows),
    "a lost AnnData": ("batch/two.h5ad", "absent", Path.unlink),
    "a lost chunk of SpatialData": (
        "batch/one.spatialdata.zarr",
        "damaged",
        lambda path: chunks(path / "tables/table/X")[0].unlink(),
    ),
    "a flipped byte in a chunk of SpatialData": (
        "batch/one.spatialdata.zarr",
        "damaged",
        lambda path: flip(chunks(path / "tables/table/X")[0]),
    ),
    "shapes of another slide": (
        "batch/one.spatialdata.zarr",
        "damaged",
        lambda path: shutil.copy(path.with_name("two.spatialdata.zarr") / SHAPES, path / SHAPES),
    ),
    "SpatialData without its shapes": (
        "batch/one.spatialdata.zarr",
        "damaged",
        lambda path: (path / SHAPES).unlink(),
    ),
    "lost SpatialData": ("batch/two.spatialdata.zarr", "absent", shutil.rmtree),
    "a lost output": ("batch/one.geojson", "absent", Path.unlink),
    "a lost format": ("batch/two.csv", "absent", Path.unlink),
    "a lost label image": ("batch/two.zarr", "absent", shutil.rmtree),
    "a lost shard of labels": (
        "batch/one.zarr",
        "label",
        lambda path: chunks(path / "labels/nuclei/0")[0].unlink(),
    ),
    "a label image without its metadata": (
        "batch/one.zarr",
        "damaged",
        lambda path: (path / "zarr.json").unlink(),
    ),
    "an empty GeoJSON": ("batch/one.geojson", "damaged", lambda path: path.write_bytes(b"")),
    "an empty CSV": ("batch/one.csv", "damaged", lambda path: path.write_bytes(b"")),
    "an empty Parquet": ("batch/one.parquet", "damaged", lambda path: path.write_bytes(b"")),
    "a lost manifest": ("batch/one.geojson.run/manifest.json", "manifest", Path.unlink),
    "a cut manifest": ("batch/one.geojson.run/manifest.json", "manifest", cut),
    "a lost run": ("batch/one.geojson.run", "manifest", shutil.rmtree),
    "another's run": (
        "batch/one.geojson",
        "other-run",
        lambda path: shutil.copy(path.with_name("two.geojson"), path),
    ),
    "a damaged ledger": (
        "batch/batch.csv",
        "ledger",
        lambda path: path.write_bytes(b"\xff" + path.read_bytes()),
    ),
    "a removed chunk of a tile store": ("tiles/one.zarr/0/c/0/1/2", "tile", Path.unlink),
    "a flipped byte in a tile": ("tiles/one.zarr/0/c/0/1/2", "tile", flip),
    "two tiles swapped": (
        "tiles/one.zarr/0/c/0/1/2",
        "tile",
        lambda path: swap(path, path.with_name("3")),
    ),
    "a tile store's metadata": (
        "tiles/one.zarr",
        "store",
        lambda path: (path / "zarr.json").write_text(
            (path / "zarr.json").read_text().replace("0.25", "0.26")
        ),
    ),
    "a tile store without its metadata": (
        "tiles/one.zarr",
        "store",
        lambda path: (path / "zarr.json").unlink(),
    ),
    "a lost window": ("stopped/one.geojson.run/windows.zarr/c/1/1/0/0/0", "window", Path.unlink),
    "a flipped byte in a window": ("stopped/one.geojson.run/windows.zarr/c/1/1/0/0/0", "window", flip),
    "a lost block": ("stopped/one.geojson.run/blocks/00000-00001.npz", "block", Path.unlink),
    "a damaged block": ("stopped/one.geojson.run/blocks/00000-00001.npz", "block", cut),
    "a block of another place": (
        "stopped/one.geojson.run/blocks/00000-00001.npz",
        "block",
        lambda path: shutil.copy(path.with_name("00000-00000.npz"), path),
    ),
    "a stopped run": ("stopped/one.geojson.run", "unfinished", lambda _: None),
}
