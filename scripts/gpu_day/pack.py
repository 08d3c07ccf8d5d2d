"""Write everything that a day on a GPU needs into one folder: images, splits, weights, recipes, code."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.gpu_day import recipe
from scripts.gpu_day.bundle import INDEX, MIB, hash_of, packed_planes
from scripts.gpu_day.check import REFERENCE, predict
from wsi_nucssl._version import __version__
from wsi_nucssl.datasets import (
    DEFAULT_MPP,
    Dataset,
    Entry,
    Sample,
    Split,
    dataset_names,
    everything,
    fraction,
    hold_out_dataset,
    holdout,
    join_datasets,
    k_fold,
    open_dataset,
)
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.tensors import load_encoder, save_encoder, save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.mpp import same_mpp
from wsi_nucssl.resample import triangle_taps
from wsi_nucssl.train.images import taught_planes
from wsi_nucssl.train.teachers import Teachers

_CODE: Final = ("wsi_nucssl", "scripts/gpu_day")
_ROOT: Final = Path(__file__).parents[2]
_FRACTIONS: Final = (0.7, 0.5, 0.3, 0.1)
_MOST_LABELS: Final = 2**16
_CHECKED: Final = 2
"""Images whose probabilities are compared between devices."""
_CHECKED_PX: Final = 512
"""Side of their top left corner, which is compared."""


@dataclass(frozen=True, slots=True)
class PackJob:
    """What to pack.

    Attributes
    ----------
    datasets : sequence of Path
        Folders of annotated images, joined.
    mpp : float
        µm per px of the images on arrival.
    own_mpp : float or None
        Of images of which no file states it.
    weights : mapping
        How often a px of the dataset of that name is seen, relative to others.
    encoders : mapping
        Where the weights of encoders are taken from: "imagenet", a pretraining run or a file.
    model : str
        The model that compares the devices.
    recipes : sequence of Path
        Recipe files; their names are the recipes'.
    folds : int
        Of how many folds the splits are packed.
    apart : sequence of str
        Datasets whose images are held out in every split but that of everything.
    teachers, teachers_of_all : sequence of str
        Models whose mean probabilities travel with the images: each image those of the models that were not trained on
        it and of the second ones, or of all where there is none.
    limit_mib : float
        Size that the folder must not exceed.
    """

    datasets: Sequence[Path]
    model: str
    encoders: Mapping[str, str]
    recipes: Sequence[Path]
    weights: Mapping[str, float]
    mpp: float = 0.25
    own_mpp: float | None = None
    folds: int = 5
    apart: Sequence[str] = ()
    teachers: Sequence[str] = ()
    teachers_of_all: Sequence[str] = ()
    limit_mib: float = 60.0


def pack(job: PackJob, out: Path) -> dict[str, float]:
    """Write the folder `out`; returns the MiB that each part of it takes.

    Raises
    ------
    OutputExists
        Something is there already.
    UsageError
        The folder would exceed `limit_mib`; it is removed again. Or a weight is of no dataset, or impossible.
    DatasetError, WeightsError
        Something cannot be read.
    """
    if out.exists():
        raise OutputExists("something is there already", path=out, remedy="Choose a new folder")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(job, partial)
        sizes = _sizes(partial)
        if sum(sizes.values()) > job.limit_mib:
            parts = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
            raise UsageError(
                f"the folder would take {sum(sizes.values()):.1f} MiB ({parts})",
                path=out,
                remedy="Give fewer datasets or encoders, a smaller --check-model, or a higher --limit-mib",
            )
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sizes


def _write(job: PackJob, out: Path) -> None:
    opened = {name: open_dataset(path, mpp=job.own_mpp) for name, path in dataset_names(job.datasets).items()}
    dataset = join_datasets(opened)
    _require_weights(job.weights, {sample.dataset for sample in dataset})
    filters: dict[str, Any] = {}
    images = {sample.id: _sample(job, sample, number, filters, out) for number, sample in enumerate(dataset)}
    taught = _teach(job, dataset, images, out)
    content = {
        "version": __version__,
        "mpp": job.mpp,
        "images": images,
        "filters": filters,
        "teachers": taught,
        "splits": {split.name: asdict(split) for split in _splits(dataset, job.folds, job.apart)},
        "recipes": {path.stem: recipe.load_recipe(path) for path in job.recipes},
        "encoders": {name: _encoder(name, source, out) for name, source in job.encoders.items()},
    }
    _reference(job, [dataset[name] for name in dataset.ids[:_CHECKED]], out)
    for folder in _CODE:
        _copy_code(_ROOT / folder, out / "code" / folder)
    (out / "code" / "scripts" / "__init__.py").write_bytes((_ROOT / "scripts" / "__init__.py").read_bytes())
    write_atomic(out / INDEX, json.dumps(content))


def _require_weights(weights: Mapping[str, float], names: set[str]) -> None:
    """As `FinetuneJob` does."""
    if weights and names == {""}:
        raise UsageError("a lone dataset weighs what it weighs", remedy="Leave --weight out")
    for name, weight in weights.items():
        if name not in names or not 0 < weight < math.inf:
            raise UsageError(
                f"dataset {name!r} cannot weigh {weight}",
                remedy=f"Weights are positive; the datasets are {', '.join(sorted(names))}",
            )


def _splits(dataset: Dataset, folds: int, apart: Sequence[str]) -> list[Split]:
    """All images; a fifth held out, with all of the labels and fewer; the folds. What cannot be made is left out."""
    if len(dataset) < 2:
        return [everything(dataset)]
    rest = dataset
    beside: tuple[Entry, ...] = ()
    if apart:
        by_source = hold_out_dataset(dataset, apart)
        rest = replace(dataset, samples=tuple(dataset[name] for name in by_source.train_ids))
        beside = by_source.validation
    held = holdout(rest, validation=max(1, round(len(rest) / 5)), seed=0)
    fewer = [fraction(held, share) for share in _FRACTIONS]
    dealt = [held, *fewer, *(k_fold(rest, k=folds) if folds > 1 else ())]
    return [everything(dataset), *(_with_held_out(split, beside) for split in dealt)]


def _with_held_out(split: Split, beside: Sequence[Entry]) -> Split:
    return replace(split, validation=tuple(sorted((*split.validation, *beside), key=lambda entry: entry.id)))


def _sample(job: PackJob, sample: Sample, number: int, filters: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write an image and its labels; coarse ones as they are, since enlarging them makes files larger."""
    own = sample.mpp or DEFAULT_MPP
    coarse = own > job.mpp and not same_mpp(own, job.mpp)
    image, labels = sample.pair() if coarse else sample.pair_at(job.mpp)
    if labels.max(initial=0) >= _MOST_LABELS:
        raise UsageError(f"{sample.id} has more than {_MOST_LABELS - 1} nuclei", path=sample.source)
    files = f"images/{number:04}.webp", f"labels/{number:04}.png"
    _save(image, out / files[0], format="WEBP", lossless=True, quality=90, method=4, exact=True)
    _save(labels.astype(np.uint16), out / files[1], format="PNG", optimize=True)
    keys = [_filter(length, job.mpp / own, filters) for length in labels.shape] if coarse else []
    weight = job.weights.get(sample.dataset, 1.0) / (own / job.mpp) ** 2
    return {
        "image": files[0],
        "labels": files[1],
        "image_sha256": hash_of(image),
        "labels_sha256": hash_of(labels.astype(np.uint16)),
        "enlarged": keys,
        "whole": _whole(own, job.mpp),
        "stains": sample.stains,
        "weight": weight,
    }


def _teach(job: PackJob, dataset: Dataset, images: Mapping[str, dict[str, Any]], out: Path) -> list[str]:
    """Write what the teachers say of each image; returns the hashes of their weights."""
    names = (*job.teachers, *job.teachers_of_all)
    if names:
        teachers = Teachers.load(job.teachers, job.mpp, job.teachers_of_all)
        for sample in dataset:
            said = taught_planes(teachers, *sample.pair_at(job.mpp), sample.hashes()[0])
            entry = images[sample.id]
            entry["teacher"] = str(Path("teachers") / Path(entry["image"]).name)
            picture = packed_planes(said)
            entry["teacher_sha256"] = hash_of(picture)
            _save(picture, out / entry["teacher"], format="WEBP", lossless=True, quality=100, exact=True)
    return [load_model(name).sha256 for name in names]


def _whole(own: float, mpp: float) -> int:
    """How many px at `mpp` one of the image's own is along each axis; 1 where that is no whole number above 1."""
    times = max(1, round(own / mpp))
    return times if same_mpp(own, times * mpp) else 1


def _save(pixels: NDArray[Any], path: Path, **options: Any) -> None:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **options)
    write_atomic(path, stream.getvalue())


def _filter(length: int, step: float, filters: dict[str, Any]) -> str:
    """The name of the filter that enlarges an axis, among `filters` from now on."""
    key = f"{length} px, {step:.6f}"
    if key not in filters:
        count = int(np.ceil(length / step - 1e-6))
        taps = triangle_taps(0, count, step, length)
        nearest = np.minimum(((np.arange(count) + 0.5) * step).astype(np.int64), length - 1)
        filters[key] = {
            "first": taps.first.tolist(),
            "weights": taps.weights.tolist(),
            "nearest": nearest.tolist(),
        }
    return key


def _encoder(name: str, source: str, out: Path) -> str:
    """Write an encoder's weights; returns the file's name."""
    encoder = build_encoder(name)
    load_encoder(encoder, source)
    file = f"encoders/{name}.safetensors"
    save_encoder(out / file, encoder, {"source": source}, storage="bfloat16")
    return file


def _reference(job: PackJob, samples: Iterable[Sample], out: Path) -> None:
    """The model that compares devices, compactly, and what it says of corners of some images here."""
    model = load_model(job.model)
    save_model(out / REFERENCE / "model.safetensors", model.network, model.info, storage="int8")
    network = load_model(out / REFERENCE / "model.safetensors").network
    corners = [sample.image_at(job.mpp)[:_CHECKED_PX, :_CHECKED_PX] for sample in samples]
    for number, image in enumerate(corners):
        _save(image, out / REFERENCE / f"{number}.webp", format="WEBP", lossless=True, exact=True)
        body, boundary = predict(network, image, "cpu", "fp32")
        stacked = np.concatenate([body, boundary])
        _save(stacked, out / REFERENCE / f"{number}.png", format="PNG", optimize=True)


def _copy_code(source: Path, target: Path) -> None:
    for path in sorted([*source.rglob("*.py"), *source.rglob("*.yaml")]):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


def _sizes(folder: Path) -> dict[str, float]:
    """MiB of each entry of the folder."""
    return {
        entry.name: sum(path.stat().st_size for path in [entry, *entry.rglob("*")] if path.is_file()) / MIB
        for entry in sorted(folder.iterdir())
    }
