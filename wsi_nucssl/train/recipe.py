"""The numbers of a fine-tuning run, read from one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import read_bounded

Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """Named numbers; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    former: ClassVar[Mapping[str, str]] = {}
    """By names that settings had in version 0.1, and that are still taken: their present names."""

    @model_validator(mode="before")
    @classmethod
    def _take_former_names(cls, values: object) -> object:
        return cls._renamed(values) if isinstance(values, Mapping) else values

    @classmethod
    def _renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        for name in cls.former.keys() & values.keys():
            if cls.former[name] in values:
                raise ValueError(f"{name} is called {cls.former[name]} now: give one of them")
        return {cls.former.get(name, name): value for name, value in values.items()}


class Augmentation(Section):
    """How a crop is varied. Probabilities `*_p`; ranges are symmetric around no change."""

    scale: float = Field(
        default=0.25, ge=0, lt=1, description="zoom by a factor in [1 / (1 + scale), 1 + scale], log-uniform"
    )
    shear: float = Field(default=0.1, ge=0, lt=1, description="shear of each axis")
    elastic_px: float = Field(default=4.0, ge=0, description="standard deviation of the elastic displacement")
    elastic_cell_px: int = Field(default=48, ge=8, description="spacing of the elastic control points")
    stain: float = Field(
        default=0.4, ge=0, lt=1, description="relative jitter of each stain's optical density"
    )
    stain_shift: float = Field(
        default=0.04, ge=0, description="additive jitter of each stain's optical density"
    )
    exchange_p: float = Field(default=0.5, ge=0, le=1, description="take the stain vectors of another image")
    hematoxylin_only_p: float = Field(default=0.05, ge=0, le=1, description="leave all but hematoxylin out")
    brightness: float = Field(default=0.08, ge=0, lt=1, description="relative jitter of the light")
    glass_p: float = Field(default=0.3, ge=0, le=1, description="glass along a smooth or a straight border")
    fill_p: float = Field(
        default=0.1, ge=0, le=1, description="black, white or grey fill as outside of what was scanned"
    )
    pen_p: float = Field(default=0.03, ge=0, le=1, description="a stroke of pen")
    fold_p: float = Field(default=0.03, ge=0, le=1, description="a fold: tissue that lies twice")
    dust_p: float = Field(default=0.06, ge=0, le=1, description="specks of dust or pigment")
    coarse_p: float = Field(
        default=0.35, ge=0, le=1, description="show the crop as if scanned at up to twice the mpp"
    )
    blur_p: float = Field(default=0.35, ge=0, le=1, description="blur by a Gaussian of up to 1.5 px")
    box_p: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="for a network that sees twice the mpp, halve by means of four px",
    )
    sharpen_p: float = Field(default=0.25, ge=0, le=1, description="sharpen as scanners do")
    noise_p: float = Field(default=0.3, ge=0, le=1, description="add Gaussian noise of up to 8 grey values")
    jpeg_p: float = Field(default=0.15, ge=0, le=1, description="compress as JPEG of quality 50 to 95")


class Loss(Section):
    """Weights of the terms: cross-entropy by class (background, body, boundary), soft Dice, the teachers, types."""

    class_weights: tuple[Weight, Weight, Weight] = (1.0, 1.0, 1.5)
    dice: Weight = 1.0
    truncation: float = Field(
        default=0.0, ge=0, lt=1, description="pixels of a lower probability than this weigh less; 0 is off"
    )
    teacher: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="fraction of the cross-entropy that is the teachers'",
    )
    types: Weight = Field(default=1.0, description="weight of the cross-entropy of types of nuclei")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not any(self.class_weights):
            raise ValueError("one of the class_weights must be positive")
        return self


class Optimisation(Section):
    """AdamW with warm-up and cosine decay to zero."""

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    clip_norm: float = Field(default=5.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="0 turns the average off")


_LARGEST = 1 << 20
"""Bytes of a recipe."""


class RecipeFile(Section):
    """Settings that a YAML file may give."""

    guide: ClassVar[str]
    """The page that explains the names and ranges."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recipe; what the file does not name keeps its default.

        Raises
        ------
        UsageError
            No such file, not YAML, an unknown name or a value out of range.
        """
        try:
            return cls.parse(yaml.safe_load(read_bounded(path, _LARGEST).decode()) or {}, path)
        except OSError as error:
            raise UsageError(
                f"the recipe cannot be read ({error.strerror})", path=path, remedy="Check the path"
            ) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"not a YAML file: {error}", path=path) from error

    @classmethod
    def parse(cls, values: object, path: Path | None = None) -> Self:
        """A recipe from values as YAML gives them; `path` is where they came from, for the message.

        Raises
        ------
        UsageError
            An unknown name or a value out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise UsageError(faults, path=path, remedy=f"See {cls.guide} for the names and ranges") from error

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with some others, named as in a YAML file; a section keeps what `changes` does not name.

        Raises
        ------
        UsageError
            An unknown name or a value out of range.
        """
        try:
            named = self._renamed(changes)
        except ValueError as error:
            raise UsageError(str(error), remedy=f"See {self.guide} for the names") from error
        return self.parse(merged(self.model_dump(), named))

    def recorded(self) -> dict[str, Any]:
        """As JSON values under the names that they had first, so that the runs of former versions can be resumed."""
        first = {now: name for name, now in self.former.items()}
        return {first.get(name, name): value for name, value in self.model_dump(mode="json").items()}


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes`, section by section; where both name a number, that of `changes`."""
    both = {
        name: merged(values[name], change)
        for name, change in changes.items()
        if isinstance(change, Mapping) and isinstance(values.get(name), Mapping)
    }
    return {**values, **changes, **both}


class Recipe(RecipeFile):
    """Everything that decides a fine-tuned model besides data, architecture and seed."""

    guide: ClassVar[str] = "docs/finetune.md"

    epochs: int = Field(default=30, ge=1)
    crops_per_image: int = Field(default=32, ge=1, description="crops of each training image in an epoch")
    batch_size: int = Field(default=8, ge=1)
    crop_px: int = Field(default=256, ge=64, multiple_of=64)
    boundary_px: int = Field(
        default=2, ge=1, le=5, description="width of the boundary class inside the contour"
    )
    validate_every: int = Field(default=1, ge=1, description="epochs between validations")
    precision: Literal["bf16", "fp32"] = "bf16"
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    optimisation: Optimisation = Optimisation()

    def recorded(self) -> dict[str, Any]:
        """As `RecipeFile.recorded`; without a weight of types that is as it was before it could be chosen."""
        values = super().recorded()
        if self.loss.types == 1:
            del values["loss"]["types"]
        return values
