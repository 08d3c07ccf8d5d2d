"""All that a benchmark found out about one predictor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wsi_nucssl.benchmark.averages import intervals, mean_of, mean_type_pq, means, mpq_of, pooled_aji
from wsi_nucssl.benchmark.image_result import ImageResult
from wsi_nucssl.benchmark.losses import ByImage, Loss, loss_of
from wsi_nucssl.benchmark.notation import finite, number
from wsi_nucssl.benchmark.oracle import Decomposition, summary
from wsi_nucssl.metrics.verdicts import COUNTS


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One predictor's scores on all selected images.

    Attributes
    ----------
    name, source : str, Mapping[str, Any]
        The predictor's.
    images : Sequence[ImageResult]
        In the order of their ids.
    oracle : Mapping[str, Decomposition]
        By image id; empty unless asked for.
    stress : Mapping[str, ByImage]
        AJI by perturbation and image id; empty unless asked for.
    """

    name: str
    source: Mapping[str, Any]
    images: Sequence[ImageResult]
    oracle: Mapping[str, Decomposition] = field(default_factory=dict)
    stress: Mapping[str, ByImage] = field(default_factory=dict)

    def of(self, ids: Iterable[str]) -> list[ImageResult]:
        """The results of some images."""
        wanted = set(ids)
        return [image for image in self.images if image.id in wanted]

    def errors(self) -> dict[str, int]:
        """Nuclei of each verdict, over all images."""
        return {name: sum(image.errors[name] for image in self.images) for name in COUNTS}

    @property
    def type_names(self) -> tuple[str, ...]:
        """Types of nuclei that are scored; none where dataset or predictor tells none apart."""
        return tuple(self.images[0].type_pq)

    def mean_type_pq(self) -> dict[str, float]:
        """Mean PQ of each type over the images that have it."""
        return mean_type_pq(self.images)

    def mpq(self) -> float:
        """Mean over images of the mean PQ of the types that an image has."""
        return mean_of(map(mpq_of, self.images))

    def losses(self) -> dict[str, Loss]:
        """What each perturbation costs."""
        plain = {image.id: image.scores.aji for image in self.images}
        return {name: loss_of(plain, stressed) for name, stressed in self.stress.items()}

    def as_json(self, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The predictor's member of results.json; what was not asked for is left out."""
        content = {
            **_averages(self.images),
            "errors": self.errors(),
            "images": {image.id: _image(image) for image in self.images},
            "source": dict(self.source),
        }
        if groups:
            content["groups"] = {
                name: {"images": len(ids), **_averages(self.of(ids))} for name, ids in groups.items()
            }
        if self.type_names:
            content["types"] = _types(self.mean_type_pq(), self.mpq())
        if self.oracle:
            content["oracle"] = {
                **finite(summary(self.oracle.values())),
                "images": {name: finite(asdict(each)) for name, each in self.oracle.items()},
            }
        if self.stress:
            content["stress"] = {name: loss.as_json() for name, loss in self.losses().items()}
        return content


def _averages(images: Sequence[ImageResult]) -> dict[str, Any]:
    return {
        "mean": finite(means(images)),
        "interval": {name: [number(side) for side in pair] for name, pair in intervals(images).items()},
        "pooled": finite({"aji": pooled_aji(images)}),
    }


def _image(image: ImageResult) -> dict[str, Any]:
    return {
        **finite(image.scores),
        "true_nuclei": image.true_nuclei,
        "pred_nuclei": image.pred_nuclei,
        **image.errors,
        **({"types": _types(image.type_pq, mpq_of(image))} if image.type_pq else {}),
    }


def _types(pq: Mapping[str, float], mpq: float) -> dict[str, Any]:
    return {"mpq": number(mpq), "pq": finite(pq)}
