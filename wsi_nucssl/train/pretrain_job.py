"""Everything that decides a pretrained encoder, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from wsi_nucssl._version import __version__
from wsi_nucssl.checks import one_of, whole
from wsi_nucssl.errors import UsageError
from wsi_nucssl.locations import Location
from wsi_nucssl.models.encoders import ENCODERS
from wsi_nucssl.models.spec import DEFAULT_ARCHITECTURE, architecture
from wsi_nucssl.pretext.groups import TileSettings
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.slide.part import ANY_PART, PartChoice
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

if TYPE_CHECKING:
    from wsi_nucssl.pretext.sources import TileSource


@dataclass(frozen=True, slots=True)
class PretrainJob:
    """Everything that decides the pretrained weights.

    Attributes
    ----------
    sources : tuple of Location
        Slides, images, tile stores, folders of them.
    recipe : PretrainRecipe
        PretrainRecipe.
    task : str
        What to learn by, a name of `TASKS`.
    arch : str
        The encoder, a name of `ENCODERS`.
    mpp : float
        µm per px of the tiles.
    slide_mpp : float or None
        µm per level-0 px of the slides that do not state it.
    force_mpp : bool
        `slide_mpp` goes before what slides state, and an unusual resolution is not questioned.
    seed : int
        Of initialisation, of the order of tiles, of every view.
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or annotations.
    part : PartChoice
        Which scene and focus plane of slides that have several.

    Raises
    ------
    UsageError
        No source, an impossible mpp, or a task or encoder that is not there.
    """

    sources: tuple[Location, ...]
    recipe: PretrainRecipe
    task: str = "triplet-rank"
    arch: str = architecture(DEFAULT_ARCHITECTURE).encoder
    mpp: float = 0.25
    slide_mpp: float | None = None
    force_mpp: bool = False
    seed: int = 0
    tissue: str = DEFAULT_TISSUE
    part: PartChoice = ANY_PART

    def __post_init__(self) -> None:
        one_of("task", self.task, TASKS.names)
        ENCODERS.get(self.arch)  # refuses what is none
        if not self.sources:
            raise UsageError("nothing to learn from was given", remedy="Name slides, tile stores or folders")
        whole("seed", self.seed, 0)
        self.tiles  # noqa: B018 (its settings check themselves)

    @property
    def tiles(self) -> TileSettings:
        """Which tiles to take from the sources."""
        recipe = self.recipe
        return TileSettings(
            self.mpp,
            self.slide_mpp,
            self.force_mpp,
            recipe.tile_px,
            recipe.min_tissue,
            recipe.mpp_factor,
            self.tissue,
            self.part,
        )

    @property
    def anchor_mpp(self) -> float:
        """µm per px of an anchor as the network sees it."""
        views = self.recipe.views
        return self.mpp * views.geometry.anchor_in(self.recipe.tile_px) / views.view_px

    def manifest(self, source: TileSource, processes: int = 1) -> dict[str, Any]:
        """The run's identity: tiles by hash, settings by value."""
        return {
            "kind": "pretrain",
            "version": __version__,
            "torch": torch.__version__.split("+")[0],
            "task": self.task,
            "arch": self.arch,
            "mpp": self.mpp,
            "seed": self.seed,
            "processes": processes,
            "source": {"slides": len(source.groups), "tiles": source.tiles, "identity": source.identity},
            "recipe": self.recipe.recorded(),
        }
