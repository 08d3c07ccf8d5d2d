"""What gives a label image for each image: a network of ours, or anybody's predictions in a folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets.geojson_labels import read_geojson_labels
from wsi_nucssl.datasets.label_files import LABEL_SUFFIXES, read_labels
from wsi_nucssl.datasets.resample import resample_labels
from wsi_nucssl.datasets.sample import LabelImage, Types
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import DatasetError, UsageError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.info import ModelInfo, seen_images, split_images
from wsi_nucssl.models.weights import Model
from wsi_nucssl.mpp import same_mpp
from wsi_nucssl.runs import digest
from wsi_nucssl.segment.images import segment_typed_image

_GEOJSON_SUFFIXES = (".geojson.gz", ".geojson", ".json")


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """Images that a model saw in training and held out, by SHA-256 of their RGB bytes."""

    train: frozenset[str]
    validation: frozenset[str]

    @classmethod
    def of(cls, info: ModelInfo) -> KnownSplit | None:
        """What a model's provenance says, if anything."""
        if not info.provenance.get("split"):
            return None
        seen = seen_images(info)
        return cls(seen, split_images(info)[1] - seen)


class Predictor(Protocol):
    """Gives a label image for each image of a dataset."""

    @property
    def name(self) -> str:
        """In tables and files."""
        ...

    @property
    def source(self) -> Mapping[str, Any]:
        """What decides its predictions, in JSON values."""
        ...

    @property
    def split(self) -> KnownSplit | None:
        """What it was trained on, if it says so."""
        ...

    def label_image(self, sample_id: str, image: NDArray[np.uint8], mpp: float) -> LabelImage:
        """Nuclei of an RGB image (row, col, 3) at `mpp` µm per px, int32 (row, col)."""
        ...


@runtime_checkable
class TypedPredictor(Predictor, Protocol):
    """Tells types of nuclei apart, too."""

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types; none where it tells none apart after all."""
        ...

    def typed_label_image(
        self, sample_id: str, image: NDArray[np.uint8], mpp: float
    ) -> tuple[LabelImage, Types]:
        """As `label_image`, and the type of each label."""
        ...


def tells_apart(predictor: Predictor, names: Collection[str]) -> TypeGuard[TypedPredictor]:
    """Whether it knows one of these types of nuclei at least, so that it is scored by type."""
    return isinstance(predictor, TypedPredictor) and not set(names).isdisjoint(predictor.type_names)


@dataclass(frozen=True, slots=True)
class Network:
    """A model on an engine, through the same predict and extract code as `segment`."""

    model: Model
    engine: Engine

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.info.name

    @property
    def source(self) -> Mapping[str, Any]:
        """Weights by hash, extraction settings, engine."""
        info = self.model.info
        return {
            "kind": "model",
            "arch": info.arch,
            "weights_sha256": self.model.sha256,
            "mpp": info.mpp,
            "instances": asdict(info.instances),
            "engine": self.engine.name,
        }

    @property
    def split(self) -> KnownSplit | None:
        """From the weights' provenance."""
        return KnownSplit.of(self.model.info)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The model's."""
        return self.model.info.schema.type_names

    def label_image(self, sample_id: str, image: NDArray[np.uint8], mpp: float) -> LabelImage:
        """See `Predictor.label_image`."""
        return self.typed_label_image(sample_id, image, mpp)[0]

    def typed_label_image(
        self,
        sample_id: str,  # noqa: ARG002
        image: NDArray[np.uint8],
        mpp: float,
    ) -> tuple[LabelImage, Types]:
        """See `TypedPredictor.typed_label_image`.

        An image of another mpp than the model's is seen at the model's, as a slide is, and its nuclei are scored on the
        image's own px, each of which takes the nearest px of the answer.
        """
        wanted = self.model.info.mpp
        scale = 1.0 if same_mpp(mpp, wanted) else wanted / mpp
        labels, types = segment_typed_image(
            self.engine, image, self.model.info.instances, self.type_names, scale=scale
        )
        if scale == 1:
            return labels, types
        rows, cols = image.shape[:2]
        own = resample_labels(labels, 1 / scale)[:rows, :cols]
        return np.pad(own, ((0, rows - own.shape[0]), (0, cols - own.shape[1]))), types


@dataclass(frozen=True, slots=True)
class PredictionFolder:
    """Label images (.png .tif .npy .mat .txt), Aperio XML or GeoJSON in a folder, each named as its image's id."""

    folder: Path
    files: Mapping[str, Path]

    @classmethod
    def open(cls, folder: Path) -> PredictionFolder:
        """List the predictions.

        Raises
        ------
        DatasetError
            No such folder, nothing in it, or two files for one image.
        """
        if not folder.is_dir():
            raise DatasetError("no such folder", path=folder, remedy="Give the folder of the predictions")
        files: dict[str, Path] = {}
        for file in sorted(folder.iterdir()):
            sample_id = _id_of(file)
            if sample_id is None:
                continue
            if sample_id in files:
                raise DatasetError(
                    f"two predictions for {sample_id}: {files[sample_id].name} and {file.name}",
                    path=folder,
                    remedy="Keep one of them",
                )
            files[sample_id] = file
        if not files:
            raise DatasetError(
                "no predictions are in this folder",
                path=folder,
                remedy="Name them as the images, as .png, .tif, .npy, .mat or .geojson",
            )
        return cls(folder, files)

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.resolve().name

    @property
    def source(self) -> Mapping[str, Any]:
        """That these are files of unknown origin, and which."""
        hashes = {name: sha256_file(self.files[name]) for name in sorted(self.files)}
        return {"kind": "predictions", "files": len(self.files), "sha256": digest(hashes)}

    @property
    def split(self) -> KnownSplit | None:
        """Files do not say what their maker was trained on."""
        return None

    def label_image(self, sample_id: str, image: NDArray[np.uint8], mpp: float) -> LabelImage:  # noqa: ARG002
        """See `Predictor.label_image`.

        Raises
        ------
        DatasetError
            There is no prediction for the image, it is damaged, or of another size.
        """
        file = self.files.get(sample_id)
        if file is None:
            raise DatasetError(
                f"no prediction for {sample_id}",
                path=self.folder,
                remedy="Add it (an image without nuclei needs an empty one), or choose fewer images with ⟨split_file⟩",
            )
        rows, cols = image.shape[:2]
        by_polygon = file.name.endswith(_GEOJSON_SUFFIXES)
        labels = (read_geojson_labels if by_polygon else read_labels)(file, (rows, cols))
        if labels.shape != (rows, cols):
            raise DatasetError(
                f"the prediction is {labels.shape[1]} × {labels.shape[0]} px, the image {cols} × {rows}",
                path=file,
                remedy="Predict at the image's own size",
            )
        return labels


def check_seeing(predictors: Sequence[Predictor]) -> None:
    """Raise `UsageError` if one of them cannot be shown an image that is not of the dataset."""
    files = [predictor.name for predictor in predictors if isinstance(predictor, PredictionFolder)]
    if files:
        raise UsageError(
            f"⟨stress⟩ changes the images, and the predictions in {files[0]!r} are of the images as they are",
            remedy="Leave out ⟨stress⟩ or ⟨predictions⟩",
        )


def check_names(predictors: Sequence[Predictor]) -> None:
    """Raise `UsageError` unless there is a predictor, and all names differ."""
    names = [predictor.name for predictor in predictors]
    if not names:
        raise UsageError("nothing to compare", remedy="Give a ⟨model⟩ or a folder of ⟨predictions⟩")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two predictors are called {twice[0]!r}", remedy="Rename one of the runs or folders"
        )


def _id_of(file: Path) -> str | None:
    """The id that a prediction's file name stands for; None if it is no prediction."""
    for suffix in _GEOJSON_SUFFIXES:
        if file.name.endswith(suffix):
            return file.name.removesuffix(suffix)
    is_label = file.suffix.lower() in LABEL_SUFFIXES and not file.name.startswith(".")
    return file.stem if is_label else None
