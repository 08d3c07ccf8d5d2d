"""`pretrain`: an encoder from slides without a label, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wsi_nucssl.checks import one_of, whole
from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import (
    PathArgument,
    Paths,
    locations,
    one_path,
    recipe_of,
)
from wsi_nucssl.jobs.clusters import find_with
from wsi_nucssl.jobs.training import TrainDevice, TrainingRun
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE

if TYPE_CHECKING:
    from distributed import Client

    from wsi_nucssl.locations import Location
    from wsi_nucssl.train.pretrain_job import PretrainJob
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe


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
    cluster: str | Client | None = None,
    task_s: float = TASK_S,
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
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
    cluster : str or distributed.Client, optional
        Workers that find the tissue of slides, as of `segment_slides`; training itself stays here.
    task_s : float
        Seconds after which a worker that has not ended a task counts as hung.
    resume, overwrite : bool
        Go on with a run that was stopped; start again.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
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
        break_lock=break_lock,
        loader_threads=loader_threads,
        report=report,
        find=find_with(cluster, task_s),
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
