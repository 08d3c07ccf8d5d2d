"""Predict and judge every image, plain and perturbed; what is known already is not predicted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imagecodecs

from wsi_nucssl.benchmark.averages import ImageResult, judge
from wsi_nucssl.benchmark.contestants import Contestant
from wsi_nucssl.benchmark.journal import Journal
from wsi_nucssl.benchmark.oracle import Decomposition, decompose
from wsi_nucssl.benchmark.results import ModelResult
from wsi_nucssl.benchmark.stress import Perturbation
from wsi_nucssl.datasets import DEFAULT_MPP, Dataset
from wsi_nucssl.datasets.sample import Image, LabelImage
from wsi_nucssl.files import safe_stem, write_atomic
from wsi_nucssl.metrics import Scores, aji
from wsi_nucssl.metrics.drawing import draw_errors

OnImage = Callable[[int, int, str], None]
"""Called after each image with how many are done, of how many, and its id; a perturbed image is one more."""

_PLAIN = ""
"""Stands in the journal's keys where perturbed images have the perturbation's name."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What is done with each image.

    Attributes
    ----------
    dataset : Dataset
        Where the images are.
    contestants : Sequence[Contestant]
        Who predicts them.
    journal : Journal
        Keeps each score as it is made.
    pictures : Path | None
        Folder for the overlays, if they are wanted.
    oracle : bool
        Decompose each prediction too.
    stress : Sequence[Perturbation]
        Score each image perturbed so too.
    """

    dataset: Dataset
    contestants: Sequence[Contestant]
    journal: Journal
    pictures: Path | None
    oracle: bool
    stress: Sequence[Perturbation]

    def run(self, ids: Sequence[str], on_image: OnImage | None = None) -> list[ModelResult]:
        """Score the images of these ids, one contestant after another on each."""
        total, done = len(ids) * (1 + len(self.stress)), 0
        for sample_id in ids:
            sample = self.dataset[sample_id]
            image, true = sample.pair()
            mpp = sample.mpp or DEFAULT_MPP
            for perturbation in (None, *self.stress):
                for contestant in self.contestants:
                    if perturbation is None:
                        self._plain(contestant, sample_id, image, true, mpp)
                    else:
                        self._stressed(contestant, perturbation, sample_id, image, true, mpp)
                done += 1
                if on_image is not None:
                    remark = f"{sample_id} {perturbation.name}" if perturbation else sample_id
                    on_image(done, total, remark)
        return [self._result(contestant, ids) for contestant in self.contestants]

    def _plain(
        self, contestant: Contestant, sample_id: str, image: Image, true: LabelImage, mpp: float
    ) -> None:
        def make() -> dict[str, Any]:
            pred = contestant.label_image(sample_id, image, mpp)
            if self.pictures is not None:
                path = self.pictures / file_stem(contestant.name) / f"{file_stem(sample_id)}.png"
                write_atomic(path, bytes(imagecodecs.png_encode(draw_errors(image, true, pred))))
            result = asdict(judge(sample_id, true, pred))
            return {"result": result, "oracle": asdict(decompose(true, pred)) if self.oracle else None}

        self.journal.keep((contestant.name, sample_id, _PLAIN), make)

    def _stressed(
        self,
        contestant: Contestant,
        perturbation: Perturbation,
        sample_id: str,
        image: Image,
        true: LabelImage,
        mpp: float,
    ) -> None:
        def make() -> float:
            scene = perturbation(sample_id, image, true)
            pred = contestant.label_image(sample_id, scene.image, mpp)
            return aji(scene.true, pred[scene.scored.rc])

        self.journal.keep((contestant.name, sample_id, perturbation.name), make)

    def _result(self, contestant: Contestant, ids: Sequence[str]) -> ModelResult:
        """What the journal holds on one contestant."""
        name = contestant.name
        plain = {sample_id: self.journal[name, sample_id, _PLAIN] for sample_id in ids}
        return ModelResult(
            name,
            contestant.source,
            [_image_result(value["result"]) for value in plain.values()],
            {key: Decomposition(**value["oracle"]) for key, value in plain.items() if self.oracle},
            {
                each.name: {sample_id: self.journal[name, sample_id, each.name] for sample_id in ids}
                for each in self.stress
            },
        )


def file_stem(name: str) -> str:
    """The name of a contestant or image as a file name."""
    return safe_stem(Path(f"{name}.png"))


def _image_result(value: dict[str, Any]) -> ImageResult:
    first, second = value["aji_sums"]
    return ImageResult(**{**value, "scores": Scores(**value["scores"]), "aji_sums": (first, second)})
