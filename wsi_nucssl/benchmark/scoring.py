"""Predict and score every image, plain and perturbed; what is known already is not predicted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsi_nucssl.benchmark.image_result import ImageResult, score_image
from wsi_nucssl.benchmark.journal import Journal
from wsi_nucssl.benchmark.oracle import Decomposition, decompose
from wsi_nucssl.benchmark.predictors import Predictor, tells_apart
from wsi_nucssl.benchmark.results import ModelResult
from wsi_nucssl.benchmark.stress import Perturbation
from wsi_nucssl.captions import captioned
from wsi_nucssl.datasets import DEFAULT_MPP, Dataset
from wsi_nucssl.datasets.sample import Image, LabelImage
from wsi_nucssl.files import safe_stem, write_atomic
from wsi_nucssl.metrics import aji, compare
from wsi_nucssl.metrics.aggregated_jaccard import AJI, aji_of
from wsi_nucssl.metrics.by_type import pq_by_type
from wsi_nucssl.metrics.contingency import Comparison
from wsi_nucssl.metrics.drawing import draw_verdicts, verdict_legend
from wsi_nucssl.pictures import png

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
    predictors : Sequence[Predictor]
        What predicts them.
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
    predictors: Sequence[Predictor]
    journal: Journal
    pictures: Path | None
    oracle: bool
    stress: Sequence[Perturbation]

    def run(self, ids: Sequence[str], on_image: OnImage | None = None) -> list[ModelResult]:
        """Score the images of these ids, one predictor after another on each."""
        total, done = len(ids) * (1 + len(self.stress)), 0
        for sample_id in ids:
            sample = self.dataset[sample_id]
            image, true = sample.pair()
            mpp = sample.mpp or DEFAULT_MPP
            for perturbation in (None, *self.stress):
                for predictor in self.predictors:
                    if perturbation is None:
                        self._plain(predictor, sample_id, image, true, mpp)
                    else:
                        self._stressed(predictor, perturbation, sample_id, image, true, mpp)
                done += 1
                if on_image is not None:
                    remark = f"{sample_id} {perturbation.name}" if perturbation else sample_id
                    on_image(done, total, remark)
        return [self._result(predictor, ids) for predictor in self.predictors]

    def _plain(
        self, predictor: Predictor, sample_id: str, image: Image, true: LabelImage, mpp: float
    ) -> None:
        def make() -> dict[str, Any]:
            pair, types = self._compared(predictor, sample_id, image, true, mpp)
            if self.pictures is not None:
                path = self.pictures / file_stem(predictor.name) / f"{file_stem(sample_id)}.png"
                title = (
                    f"{sample_id} by {predictor.name}: AJI {AJI.text(aji_of(pair.table))} {AJI.unit.symbol}"
                )
                write_atomic(path, png(captioned(draw_verdicts(image, pair), verdict_legend(pair), title)))
            oracle = asdict(decompose(pair)) if self.oracle else None
            return {"result": score_image(sample_id, pair, types).as_json(), "oracle": oracle}

        self.journal.keep((predictor.name, sample_id, _PLAIN), make)

    def _compared(
        self, predictor: Predictor, sample_id: str, image: Image, true: LabelImage, mpp: float
    ) -> tuple[Comparison, dict[str, float]]:
        """The prediction beside the truth, and the PQ of each type where both tell types apart."""
        names = self.dataset.type_names
        if not tells_apart(predictor, names):
            return compare(true, predictor.label_image(sample_id, image, mpp)), {}
        pred, types = predictor.typed_label_image(sample_id, image, mpp)
        pair = compare(true, pred)
        return pair, pq_by_type(pair.table, self.dataset[sample_id].types(), types, names)

    def _stressed(
        self,
        predictor: Predictor,
        perturbation: Perturbation,
        sample_id: str,
        image: Image,
        true: LabelImage,
        mpp: float,
    ) -> None:
        def make() -> float:
            scene = perturbation(sample_id, image, true)
            pred = predictor.label_image(sample_id, scene.image, mpp)
            return aji(scene.true, pred[scene.scored.rc])

        self.journal.keep((predictor.name, sample_id, perturbation.name), make)

    def _result(self, predictor: Predictor, ids: Sequence[str]) -> ModelResult:
        """What the journal holds on one predictor."""
        name = predictor.name
        plain = {sample_id: self.journal[name, sample_id, _PLAIN] for sample_id in ids}
        return ModelResult(
            name,
            predictor.source,
            [ImageResult.from_json(value["result"]) for value in plain.values()],
            {key: Decomposition(**value["oracle"]) for key, value in plain.items() if self.oracle},
            {
                each.name: {sample_id: self.journal[name, sample_id, each.name] for sample_id in ids}
                for each in self.stress
            },
        )


def file_stem(name: str) -> str:
    """The name of a predictor or image as a file name."""
    return safe_stem(Path(f"{name}.png"))
