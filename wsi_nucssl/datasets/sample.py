"""One annotated image, and an ordered set of them."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets.resample import resample_image, resample_labels
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.mpp import DEFAULT_MPP, require_plausible, same_mpp

Image = NDArray[np.uint8]
"""RGB image of shape (row, col, 3), sRGB, uint8."""
LabelImage = NDArray[np.int32]
"""Label image of shape (row, col), int32; 0 = background."""
Shape = tuple[int, int]
"""(rows, cols)."""
Types = Mapping[int, str | None]
"""The type of the nucleus of each label id; None where it is unknown."""
Stains = Literal["h&e", "hematoxylin"]
"""What an image shows: both stains, or a rendering of the hematoxylin plane alone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its nuclei, read from disk each time they are asked for; picklable.

    Attributes
    ----------
    id : str
        Unique in its dataset.
    organ : str or None
        Lower-case name, or None where neither the dataset nor the id tells.
    source : Path
        The file of the annotation, for messages.
    read_image : callable
        Reads the RGB image.
    read_labels : callable
        Reads the label image, given the (rows, cols) of the image.
    mpp : float or None
        µm per px, or None where nobody says.
    mpp_source : str
        Who says it: "Aperio XML", "manifest.json", "slide" or "given"; "" if unknown.
    stains : Stains
        "h&e", or "hematoxylin" where the image is a rendering of that plane alone.
    dataset : str
        Name of the dataset among joined ones; "" for a lone one.
    patient : str or None
        Whom it comes from, or None where the id does not tell. Images of one patient share this.
    read_types : callable or None
        Reads the type of each label id, or None where the dataset has no types.
    known_hashes : tuple of 2 str or None
        What `hashes` answers, where it has been asked before (`Dataset.hashed`).
    """

    id: str
    organ: str | None
    source: Path
    read_image: Callable[[], Image]
    read_labels: Callable[[Shape], LabelImage]
    mpp: float | None = None
    mpp_source: str = ""
    stains: Stains = "h&e"
    dataset: str = ""
    patient: str | None = None
    read_types: Callable[[], Types] | None = field(default=None, repr=False, compare=False)
    known_hashes: tuple[str, str] | None = field(default=None, repr=False, compare=False)

    def image(self) -> Image:
        """The RGB image, uint8 (row, col, 3).

        Raises
        ------
        DatasetError
            The file cannot be read or is not an 8-bit RGB image.
        """
        return self.read_image()

    def labels(self) -> LabelImage:
        """The label image, int32 (row, col), of the size of the image. As `pair()[1]`."""
        return self.pair()[1]

    def types(self) -> Types:
        """The type of each label id, one of the dataset's `type_names`; None, or no entry, where it is unknown.

        At every resolution, since labels keep their ids.

        Raises
        ------
        DatasetError
            The file cannot be read.
        """
        return {} if self.read_types is None else self.read_types()

    def pair(self) -> tuple[Image, LabelImage]:
        """Image and label image, of one size.

        Raises
        ------
        DatasetError
            A file cannot be read, or their sizes differ.
        """
        image = self.image()
        shape = (image.shape[0], image.shape[1])
        labels = self.read_labels(shape)
        if labels.shape != shape:
            raise DatasetError(
                f"the labels of {self.id} are {_size(labels.shape)}, the image {_size(shape)} px",
                path=self.source,
                remedy="Give the labels that were drawn on this image, at the same scale",
            )
        return image, labels

    def image_at(self, mpp: float, *, default: float = DEFAULT_MPP) -> Image:
        """The RGB image at `mpp` µm per px. As `pair_at(mpp, default=default)[0]`."""
        step = self._step_to(mpp, default)
        return self.image() if step == 1 else resample_image(self.image(), step)

    def pair_at(self, mpp: float, *, default: float = DEFAULT_MPP) -> tuple[Image, LabelImage]:
        """Image and label image at `mpp` µm per px, of one size: ceil(px · own mpp / mpp) a side.

        The image is resampled as slides are, the labels by nearest pixel (`datasets.resample`). Where the
        sample's own mpp is within 2 % of `mpp`, both are as `pair` gives them.

        Parameters
        ----------
        mpp : float
            µm per px wanted.
        default : float
            what the sample's own mpp is taken for where nobody states it.

        Raises
        ------
        DatasetError
            As `pair`.
        UsageError
            `mpp` or `default` lies outside 0.05 … 4.
        """
        step = self._step_to(mpp, default)
        image, labels = self.pair()
        return (image, labels) if step == 1 else (resample_image(image, step), resample_labels(labels, step))

    def _step_to(self, mpp: float, default: float) -> float:
        """Own px per px at `mpp`; 1 if the two are the same."""
        own = default if self.mpp is None else self.mpp
        require_plausible(own)
        require_plausible(mpp)
        return 1.0 if same_mpp(own, mpp) else mpp / own

    def hashes(self) -> tuple[str, str]:
        """Hex SHA-256 of the image's raw RGB bytes, and of the labels as little-endian int32; both row by
        row, at the image's own resolution. Read from disk unless they are known.
        """
        if self.known_hashes is not None:
            return self.known_hashes
        image, labels = self.pair()
        return _sha256(image), _sha256(labels.astype("<i4", copy=False))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples in the order of their ids.

    Attributes
    ----------
    path : Path
        Where it was read from.
    layout : str
        How the files lie there, one of the names that `open_dataset` takes; "joined" for several.
    samples : tuple of Sample
        Ordered by id, at least one, ids unique.
    notes : tuple of str
        What the user should know about these data, each one sentence or two.
    type_names : tuple of str
        Types of nuclei that its annotators told apart, in their order; none where they told none.
    """

    path: Path
    layout: str
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()
    type_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ids = [sample.id for sample in self.samples]
        if not ids:
            raise DatasetError("no annotated image is in this dataset", path=self.path)
        if ids != sorted(set(ids)):
            raise ValueError("samples must be ordered by id, each id once")

    @property
    def name(self) -> str:
        """That of its folder; of joined datasets all names, such as "monuseg + tnbc"."""
        names = sorted({sample.dataset for sample in self.samples} - {""})
        return " + ".join(names) or self.path.resolve().name

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, ascending."""
        return tuple(sample.id for sample in self.samples)

    def subset(self, ids: Iterable[str]) -> Dataset:
        """The samples of these ids, again in the order of their ids.

        Raises
        ------
        DatasetError
            An id is not in the dataset, or none was given.
        """
        return replace(self, samples=tuple(self[name] for name in sorted(set(ids))))

    def hashed(self) -> Dataset:
        """The same samples, read once, so that who asks for hashes again need not read and decode every image again.

        Raises
        ------
        DatasetError
            A file cannot be read, or the sizes of an image and its labels differ.
        """
        return replace(
            self, samples=tuple(replace(sample, known_hashes=sample.hashes()) for sample in self.samples)
        )

    def types_sha256(self, ids: Iterable[str]) -> str:
        """Hex SHA-256 of the types of all labels of some samples, which the hashes of labels tell nothing of.

        Raises
        ------
        DatasetError
            A file cannot be read, or an id is not in the dataset.
        """
        types = {name: {str(label): each for label, each in self[name].types().items()} for name in ids}
        return hashlib.sha256(json.dumps(types, sort_keys=True).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, sample_id: str) -> Sample:
        place = bisect_left(self.samples, sample_id, key=lambda sample: sample.id)
        if place < len(self) and self.samples[place].id == sample_id:
            return self.samples[place]
        raise DatasetError(
            f"no image of id {sample_id!r} is in this dataset of {len(self)}",
            path=self.path,
            remedy=f"Ids look like {self.samples[0].id!r}",
        )


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in reversed(shape))


def _sha256(array: NDArray[np.uint8] | NDArray[np.int32]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
