"""`benchmark`: models and anybody's predictions scored on annotated images, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl.checks import one_of
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import PathArgument, Paths, one_path, paths, several
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import SegmentOptions

if TYPE_CHECKING:
    import pandas as pd

    from wsi_nucssl.benchmark.report import Report
    from wsi_nucssl.models.weights import Model

SplitName = Literal["auto", "val", "train", "all"]
By = Literal["dataset", "organ", "patient"]

_DEFAULT: Final = SegmentOptions()


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What `benchmark` found out.

    Attributes
    ----------
    folder : Path
        Holds results.json, results.csv, results.md and the overlays.
    report : Report
        The same as values: means, intervals, groups, warnings.
    """

    folder: Path
    report: Report

    @property
    def table(self) -> pd.DataFrame:
        """The folder's results.csv: a row for each model and image; scores are fractions of 1."""
        import pandas as pd

        return pd.read_csv(self.folder / "results.csv")

    def _repr_markdown_(self) -> str:
        return self.report.as_markdown()


def benchmark(
    datasets: Paths,
    output: PathArgument,
    *,
    model: PathArgument | Model | Sequence[PathArgument | Model] | None = None,
    predictions: Paths = (),
    split: SplitName = "auto",
    split_file: PathArgument | None = None,
    by: By | None = None,
    oracle: bool = False,
    stress: bool = False,
    overlays: bool = True,
    mpp: float | None = None,
    regions: str = REGION,
    classes: str | Sequence[str] = (),
    device: Device = _DEFAULT.device,
    engine: str = _DEFAULT.engine,
    views: int = _DEFAULT.views,
    resume: bool = False,
    overwrite: bool = False,
    on_image: Callable[[int, int, str], None] | None = None,
) -> BenchmarkResult:
    """Score models, or anybody's predictions, on annotated images, as `wsi-nucssl benchmark` does.

    Parameters
    ----------
    datasets : str, Path or sequence of them
        Folders of annotated images.
    output : str or Path
        Folder for the results.
    model : str, Path, Model or sequence of them, optional
        Bundled models' names, weights files, fine-tuning runs; the default model if there are no `predictions` either.
    predictions : str, Path or sequence of them
        Folders of label images or GeoJSON named as the images.
    split : {"auto", "val", "train", "all"}
        Which images; "auto" is "val" where a split is known, else "all".
    split_file : str or Path, optional
        A split.json instead of the models' own split.
    by : {"dataset", "organ", "patient"}, optional
        Also give the means of each of these groups.
    oracle : bool
        Also score with perfect splitting, and with a perfect foreground.
    stress : bool
        Also score each image framed, blurred, restained, rescaled and otherwise perturbed.
    overlays : bool
        Draw the errors on each image.
    mpp : float, optional
        µm per px of images of which no file says it.
    regions : str
        The class of the rectangles inside which all nuclei of a slide are annotated.
    classes : str or sequence of str
        The classes of annotated nuclei that count; all by default.
    device, engine : str
        What the network runs on.
    views : int
        Mirrored and rotated views to average over: 1, 2, 4 or 8.
    resume, overwrite : bool
        Go on with a benchmark that was stopped; replace results that are there.
    on_image : callable, optional
        Is told how many images are done, of how many, and which is next.

    Returns
    -------
    BenchmarkResult
        With `table`, a row for each model and image.

    Raises
    ------
    DatasetError
        An image, a label or a prediction cannot be used.
    OutputExists, RunMismatch
        The folder cannot be taken.
    UsageError
        An option is none, or no image is left.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> scores = wn.benchmark("monuseg/", "scores/", model=["liteunet0x2-nuclei", "runs/mine"])  # doctest: +SKIP
    >>> scores.table.groupby("model").aji.mean()  # doctest: +SKIP
    """
    from wsi_nucssl.benchmark.predictors import Network, PredictionFolder, Predictor
    from wsi_nucssl.benchmark.run import benchmark as run
    from wsi_nucssl.benchmark.stress import PERTURBATIONS
    from wsi_nucssl.datasets import open_datasets
    from wsi_nucssl.engines.opening import open_engine
    from wsi_nucssl.models.weights import as_model

    one_of("split", split, SplitName)
    if by is not None:
        one_of("by", by, By)
    SegmentOptions(device=device, engine=engine, views=views)
    folder = one_path("output", output)
    folders = paths("predictions", predictions) if predictions else ()
    opened = open_datasets(
        paths("datasets", datasets),
        mpp=None if mpp is None else Mpp.parse_side(mpp),
        regions=regions,
        classes=classes,
    )
    wanted = [] if model is None and folders else [*several(model)]
    predictors: list[Predictor] = []
    for each in wanted:
        loaded = as_model(each)
        predictors.append(Network(loaded, open_engine(loaded, device, engine, views)))
    predictors += [PredictionFolder.open(each) for each in folders]
    report = run(
        opened,
        predictors,
        folder,
        split=split,
        split_file=None if split_file is None else one_path("split_file", split_file),
        by=by,
        oracle=oracle,
        stress=tuple(PERTURBATIONS.values()) if stress else (),
        overlays=overlays,
        resume=resume,
        overwrite=overwrite,
        on_image=on_image,
    )
    return BenchmarkResult(folder, report)
