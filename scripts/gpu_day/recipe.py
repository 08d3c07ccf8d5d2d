"""What is trained: read and checked where pydantic is, packed as JSON, and used from that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

if TYPE_CHECKING:
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
    from wsi_nucssl.train.recipe import Recipe

FOLDER: Final = Path(__file__).parent / "recipes"


def load_recipe(path: Path) -> dict[str, Any]:
    """A recipe file with every default filled in, as JSON values.

    Raises
    ------
    UsageError
        An unknown name or a value out of range.
    """
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
    from wsi_nucssl.train.recipe import Recipe, RecipeFile

    class DayRecipe(RecipeFile):
        guide: ClassVar[str] = "docs/gpu.md"

        arch: str
        encoder: str = "none"
        storage: str = "bfloat16"
        finetune: Recipe = Recipe()
        pretrain: PretrainRecipe = PretrainRecipe()

    return DayRecipe.load(path).model_dump(mode="json")


def finetune_recipe(values: Mapping[str, Any]) -> Recipe:
    """The fine-tuning part of a packed recipe, with the attributes of a `Recipe`."""
    return cast("Recipe", _attributes(values["finetune"]))


def pretrain_recipe(values: Mapping[str, Any]) -> PretrainRecipe:
    """The pretraining part of a packed recipe, with the attributes of a `PretrainRecipe`."""
    from wsi_nucssl.pretext.settings import ShortcutAugmentation, TaskSettings
    from wsi_nucssl.pretext.triplets import TripletGeometry

    views = dict(values["pretrain"]["views"])
    geometry = {**views["geometry"], "negatives_px": tuple(views["geometry"]["negatives_px"])}
    augmentation = ShortcutAugmentation(**views["deshortcut"])
    views |= {"geometry": TripletGeometry(**geometry), "deshortcut": augmentation}
    recipe = _attributes({**values["pretrain"], "views": None})
    recipe.views = TaskSettings(**views)
    return cast("PretrainRecipe", recipe)


def _attributes(values: Mapping[str, Any]) -> SimpleNamespace:
    nested = {
        name: _attributes(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }
    return SimpleNamespace(**nested)
