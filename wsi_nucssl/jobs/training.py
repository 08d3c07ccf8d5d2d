"""`pretrain` and `finetune`: an encoder from slides, a model from annotated images, in one call each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsi_nucssl import checks
from wsi_nucssl.checks import one_of, shown, whole
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import (
    PathArgument,
    Paths,
    locations,
    one_path,
    paths,
    recipe_of,
    several,
)
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE

if TYPE_CHECKING:
    import pandas as pd

    from wsi_nucssl.locations import Location
    from wsi_nucssl.train.finetune_job import FinetuneJob
    from wsi_nucssl.train.pretrain_job import PretrainJob
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
    from wsi_nucssl.train.recipe import Recipe

TrainDevice = Literal["auto", "cpu"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What `pretrain` and `finetune` leave.

    Attributes
    ----------
    folder : Path
        The run directory; `segment` takes it as `model`, `finetune` as `encoder`.
    weights : Path
        The weights in it.
    validation_aji : float or None
        Of the calibrated model on the held-out images; None for pretraining, or where nothing was held out.
    """

    folder: Path
    weights: Path
    validation_aji: float | None = None

    @property
    def table(self) -> pd.DataFrame:
        """The run's history.csv: a row an epoch or interval."""
        import pandas as pd

        return pd.read_csv(self.folder / "history.csv")


def pretrain(
    sources: Paths,
    run: PathArgument,
    *,
    task: str = "triplet-rank",
    arch: str = "efficientnet-lite0",
    recipe: PathArgument | Mapping[str, Any] | PretrainRecipe | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    deshortcut: bool = False,
    mpp: float | None = None,
    slide_mpp: float | None = None,
    force_mpp: bool = False,
    scene: str | int | None = None,
    focus: int | None = None,
    tissue: str = DEFAULT_TISSUE,
    seed: int = 0,
    device: TrainDevice = "auto",
    loader_threads: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[Mapping[str, float], str | None], None] = lambda _row, _warning: None,
) -> TrainingRun:
    """Learn an encoder from slides without a label, as `wsi-nucssl pretrain` does.

    Parameters
    ----------
    sources : str, Path or sequence of them
        Slides, images, tile stores, or folders with all of them below; "-" is a list on standard input.
    run : str or Path
        Run directory.
    task : str
        What to learn by: docs/pretrain.md lists the tasks.
    arch : str
        The encoder.
    recipe : str, Path, mapping or PretrainRecipe, optional
        A recipe's YAML file or its values; what is left out keeps its default.
    steps, batch_size : int, optional
        Steps, and tiles a step; the recipe's if not given.
    deshortcut : bool
        Blur and noise each view after resizing: see docs/pretrain.md.
    mpp : float, optional
        µm per px of the tiles; by default what the network that `arch` is made for sees.
    slide_mpp : float, optional
        µm per px of the slides' level 0, where they do not say.
    force_mpp : bool
        `slide_mpp` goes before what slides say, and an unusual resolution is not questioned.
    scene, focus : str or int, and int, optional
        Which scene of slides that have several, and which plane of focus stacks, as `open_slide` takes them.
    tissue : str
        How tissue is found: a name, as of the command's `--tissue`, or a GeoJSON file of annotations; of several slides
        a folder with one for each, by the slide's stem.
    seed : int
        Of initialisation, tiles and views.
    device : {"auto", "cpu"}
        What to train on.
    loader_threads : int
        Threads that read tiles.
    resume, overwrite : bool
        Go on with a run that was stopped; start again.
    report : callable
        Is given each row of history.csv, and what is wrong with the run if anything is.

    Returns
    -------
    TrainingRun
        Its folder is what `finetune` takes as `encoder`.

    Raises
    ------
    InputError
        A slide cannot be used, or there is no tissue.
    OutputExists, OutputLocked, RunMismatch
        The run directory cannot be taken.
    UsageError
        An option is none.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> encoder = wn.pretrain("slides/", "runs/ssl", steps=20_000)  # doctest: +SKIP
    >>> model = wn.finetune("tiles/", "runs/mine", encoder=encoder.folder)  # doctest: +SKIP
    """
    from wsi_nucssl.train.pretrain import pretrain as train

    one_of("device", device, TrainDevice)
    whole("loader_threads", loader_threads, 1)
    folder = one_path("run", run)
    job = pretrain_job(
        sources,
        task=task,
        arch=arch,
        recipe=recipe,
        steps=steps,
        batch_size=batch_size,
        deshortcut=deshortcut,
        mpp=mpp,
        slide_mpp=slide_mpp,
        force_mpp=force_mpp,
        part=PartChoice(scene, focus),
        tissue=tissue,
        seed=seed,
    )
    result = train(
        job,
        folder,
        device=device,
        resume=resume,
        overwrite=overwrite,
        loader_threads=loader_threads,
        report=report,
    )
    return TrainingRun(folder, result.weights)


def pretrain_job(
    sources: Paths,
    *,
    task: str,
    arch: str,
    recipe: PathArgument | Mapping[str, Any] | PretrainRecipe | None,
    steps: int | None,
    batch_size: int | None,
    deshortcut: bool,
    mpp: float | None,
    slide_mpp: float | None,
    force_mpp: bool,
    part: PartChoice,
    tissue: str,
    seed: int,
) -> PretrainJob:
    """What `pretrain` is given, as the job that it is: for whoever looks at one without running it.

    Raises
    ------
    UsageError
        An option is none.
    """
    from wsi_nucssl.datasets import DEFAULT_MPP
    from wsi_nucssl.models.spec import architecture, architecture_of
    from wsi_nucssl.train.pretrain_job import PretrainJob
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

    given = {"steps": steps, "batch_size": batch_size}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if deshortcut:
        changes["views"] = {"deshortcut": {"enabled": True}}
    seen = DEFAULT_MPP * architecture(architecture_of(arch)).upscale
    return PretrainJob(
        _sources(locations("sources", sources)),
        recipe_of(PretrainRecipe, recipe).changed(changes),
        task,
        arch,
        seen if mpp is None else Mpp.parse_side(mpp),
        slide_mpp,
        force_mpp,
        seed,
        tissue,
        part,
    )


def _sources(given: Sequence[Location]) -> tuple[Location, ...]:
    """What is given, and in the place of `-` the paths on standard input."""
    from wsi_nucssl.slide_list import STANDARD_INPUT, mpp_of, read_slide_list

    listed = read_slide_list(STANDARD_INPUT) if STANDARD_INPUT in given else ()
    if mpp_of(listed):
        raise UsageError(
            "the list gives slides an mpp each, and pretraining takes one for all",
            remedy="Leave the column out, and give ⟨slide_mpp⟩",
        )
    slides = tuple(each.slide for each in listed)
    return tuple(each for place in given for each in (slides if place == STANDARD_INPUT else (place,)))


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
    seed: int = 0,
    device: TrainDevice = "auto",
    loader_threads: int = 1,
    resume: bool = False,
    overwrite: bool = False,
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
        Share of the training images to use.
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
    seed : int
        Of the split, the initialisation and every crop.
    device : {"auto", "cpu"}
        What to train on.
    loader_threads : int
        Threads that prepare crops.
    resume, overwrite : bool
        Go on with a run that was stopped; start again.
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
        seed=seed,
    )
    result = train(
        job,
        folder,
        device=device,
        resume=resume,
        overwrite=overwrite,
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
        seed=seed,
        weights=weights,
        teachers=[checks.path("teachers", each) for each in several(teachers)],
        types=types,
    )
