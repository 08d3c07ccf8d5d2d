"""The numbers of a pretraining run, read from one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.train.recipe import Optimisation, RecipeFile


class PretrainOptimisation(Optimisation):
    """Warm-up and cosine decay to zero."""

    learning_rate: float = Field(default=3e-4, gt=0)
    warmup_steps: int = Field(default=500, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="0 turns the average off")


class PretrainRecipe(RecipeFile):
    """Everything that decides a pretrained encoder besides slides, task, architecture, mpp and seed."""

    guide: ClassVar[str] = "docs/pretrain.md"
    former: ClassVar[Mapping[str, str]] = {"finer": "mpp_factor"}

    steps: int = Field(default=10_000, ge=1)
    batch_size: int = Field(
        default=16, ge=2, description="tiles a step and process; a tile gives one triplet"
    )
    tile_px: int = Field(default=1000, ge=125)
    min_tissue: float = Field(default=0.1, ge=0, le=1)
    mpp_factor: int = Field(
        default=1, ge=1, le=8, description="read slides at mpp / mpp_factor where they have the detail"
    )
    decorrelation: float = Field(
        default=0.0, ge=0, description="weight of the mean redundancy of the encoder's feature maps"
    )
    precision: Literal["bf16", "fp32"] = "bf16"
    optimiser: Literal["adamw", "sgd"] = "adamw"
    log_every: int = Field(default=50, ge=1, description="steps between rows of history.csv")
    checkpoint_every: int = Field(
        default=500, ge=1, description="steps between checkpoints, a multiple of log_every"
    )
    views: TaskSettings = TaskSettings()
    optimisation: PretrainOptimisation = PretrainOptimisation()

    @model_validator(mode="after")
    def _checkpoints_follow_logs(self) -> Self:
        if self.checkpoint_every % self.log_every:
            raise ValueError(f"checkpoint_every must be a multiple of log_every, {self.log_every}")
        return self
