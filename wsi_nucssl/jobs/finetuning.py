"""`finetune`: a model from annotated images, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wsi_nucssl import checks
from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl.checks import one_of, shown, whole
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import (
    PathArgument,
    Paths,
    one_path,
    paths,
    recipe_of,
    several,
)
from wsi_nucssl.jobs.training import TrainDevice, TrainingRun

if TYPE_CHECKING:
    from wsi_nucssl.train.finetune_job import FinetuneJob
    from wsi_nucssl.train.recipe import Recipe


def finetune(
    datasets: Paths,
    run: PathArgument,
    *,
    arch: str = "liteunet0x2",
    encoder: PathArgument | None = "none",
    start: PathArgument | None = "",
    recipe: PathArgument | Mapping[str, Any] | Recipe | None = None,
    epochs: int | None = None,
    weights: Mapping[str, float] | None = None,
    teachers: Paths = (),
    types: bool = False,
    fraction: float = 1.0,
    fold: str = "",
    hold_out: str | Sequence[str] = (),
    train_all: bool = False,
    split: PathArgument | None = None,
    mpp: float | None = None,
    regions: str = REGION,
    classes: str | Sequence[str] = (),
    seed: int = 0,
    device: TrainDevice = "auto",
    loader_threads: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    report: Callable[[Mapping[str, float]], None] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> TrainingRun:
    """Train a network on annotated images, as `wsi-nucssl finetune` does.

    Parameters
    ----------
    datasets : str, Path or sequence of them
        Folders of annotated images: docs/datasets.md says how they may lie there.
    run : str or Path
        Run directory.
    arch : str
        The network; docs/models.md lists them.
    encoder : str or Path
        Where its encoder starts: "none", "imagenet", a pretraining run or a weights file.
    start : str or Path
        A model of the same architecture to go on from, such as a bundled one.
    recipe : str, Path, mapping or Recipe, optional
        A recipe's YAML file or its values; what is left out keeps its default.
    epochs : int, optional
        The recipe's if not given.
    weights : mapping of str to float, optional
        How often a px of the dataset of that name is seen, relative to others.
    teachers : str, Path or sequence of them
        Models whose probabilities are learnt beside the labels.
    types : bool
        Learn to tell the datasets' types of nuclei apart.
    fraction : float
        Fraction of the training images to use.
    fold : str
        "i/k", the i-th of k folds instead of the hold-out.
    hold_out : str or sequence of str
        Names of datasets that validate and never train.
    train_all : bool
        Train on every image; nothing validates.
    split : str or Path, optional
        A split.json to use instead.
    mpp : float, optional
        µm per px of images of which no file says it.
    regions : str
        The class of the rectangles inside which all nuclei of a slide are annotated.
    classes : str or sequence of str
        The classes of annotated nuclei that count; all by default.
    seed : int
        Of the split, the initialisation and every crop.
    device : {"auto", "cpu"}
        What to train on.
    loader_threads : int
        Threads that prepare crops.
    resume, overwrite : bool
        Go on with a run that was stopped; start again.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
    report : callable, optional
        Is given each row of history.csv.
    warn : callable
        Is told of what makes scores doubtful.

    Returns
    -------
    TrainingRun
        Its folder is what `segment` and `benchmark` take as a model.

    Raises
    ------
    DatasetError
        An image or label cannot be used.
    OutputExists, OutputLocked, RunMismatch
        The run directory cannot be taken.
    UsageError
        An option is none.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> run = wn.finetune("tiles/", "runs/mine", start="liteunet0x2-nuclei", epochs=10)  # doctest: +SKIP
    >>> run.table.validation_aji.max()  # doctest: +SKIP
    """
    from wsi_nucssl.train.finetune import finetune as train

    one_of("device", device, TrainDevice)
    whole("loader_threads", loader_threads, 1)
    folder = one_path("run", run)
    job = finetune_job(
        datasets,
        arch=arch,
        encoder=encoder,
        start=start,
        recipe=recipe,
        epochs=epochs,
        weights=weights,
        types=types,
        teachers=teachers,
        fraction=fraction,
        fold=fold,
        hold_out=hold_out,
        train_all=train_all,
        split=split,
        mpp=mpp,
        regions=regions,
        classes=classes,
        seed=seed,
    )
    result = train(
        job,
        folder,
        device=device,
        resume=resume,
        overwrite=overwrite,
        break_lock=break_lock,
        loader_threads=loader_threads,
        report=report,
        warn=warn,
    )
    return TrainingRun(folder, result.weights, result.validation_aji)


def finetune_job(
    datasets: Paths,
    *,
    arch: str,
    encoder: PathArgument | None,
    start: PathArgument | None,
    recipe: PathArgument | Mapping[str, Any] | Recipe | None,
    epochs: int | None,
    weights: Mapping[str, float] | None,
    teachers: Paths,
    types: bool,
    fraction: float,
    fold: str,
    hold_out: str | Sequence[str],
    train_all: bool,
    split: PathArgument | None,
    mpp: float | None,
    regions: str,
    classes: str | Sequence[str],
    seed: int,
) -> FinetuneJob:
    """What `finetune` is given, as the job that it is: for whoever looks at one without running it.

    Raises
    ------
    DatasetError
        An image or label cannot be used.
    UsageError
        An option is none.
    """
    from wsi_nucssl.train.job import SplitChoice, make_job
    from wsi_nucssl.train.recipe import Recipe

    if weights is not None and not isinstance(weights, Mapping):
        raise UsageError(
            f"⟨weights⟩ are numbers by a dataset's name, not {shown(weights)}", remedy="Such as {'tnbc': 0.5}"
        )
    file = None if split is None else one_path("split", split)
    chosen = recipe_of(Recipe, recipe)
    return make_job(
        paths("datasets", datasets),
        split=SplitChoice(seed, file, fold, fraction, several(hold_out), train_all),
        recipe=chosen if epochs is None else chosen.changed({"epochs": epochs}),
        arch=arch,
        encoder="none" if encoder is None else checks.path("encoder", encoder),
        start="" if start is None else checks.path("start", start),
        own_mpp=None if mpp is None else Mpp.parse_side(mpp),
        regions=regions,
        classes=classes,
        seed=seed,
        weights=weights,
        teachers=[checks.path("teachers", each) for each in several(teachers)],
        types=types,
    )
