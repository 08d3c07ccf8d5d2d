"""Recipes: what the file leaves out keeps its default, and every fault names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl.train.recipe import Recipe, merged


def write(path: Path, text: str) -> Path:
    file = path / "recipe.yaml"
    file.write_text(text)
    return file


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert Recipe.load(write(tmp_path, "")) == Recipe()


def test_a_deep_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a YAML file"):
        Recipe.load(write(tmp_path, "[" * 20_000))


def test_a_recipe_has_at_most_a_mebibyte(tmp_path: Path) -> None:
    text = "epochs: 3\n# "
    full = text + "x" * (1024 * 1024 - len(text))
    assert Recipe.load(write(tmp_path, full)).epochs == 3
    with pytest.raises(InputError, match="1048576"):
        Recipe.load(write(tmp_path, full + "x"))


@pytest.mark.parametrize("side", [64, 128, 192, 320])
def test_crops_are_of_whole_64_px(side: int) -> None:
    assert Recipe.parse({"crop_px": side}).crop_px == side
    for wrong in (side + 1, side - 1, side + 32):
        with pytest.raises(UsageError, match="crop_px"):
            Recipe.parse({"crop_px": wrong})


def test_a_change_of_a_whole_section_or_of_a_number_goes_before_what_was() -> None:
    assert merged({"a": 1, "b": {"c": 2, "d": {"e": 3}}}, {"a": 9, "b": {"d": {"f": 4}}, "g": {"h": 5}}) == {
        "a": 9,
        "b": {"c": 2, "d": {"e": 3, "f": 4}},
        "g": {"h": 5},
    }
    assert merged({"a": {"b": 1}, "c": 2}, {"a": 3, "c": {"d": 4}}) == {"a": 3, "c": {"d": 4}}


def test_what_is_named_changes_and_nothing_else(tmp_path: Path) -> None:
    loaded = Recipe.load(write(tmp_path, "epochs: 3\naugmentation:\n  stain: 0.1\n"))
    assert (loaded.epochs, loaded.augmentation.stain) == (3, 0.1)
    assert loaded.model_copy(update={"epochs": 30, "augmentation": Recipe().augmentation}) == Recipe()


def test_a_recipe_survives_its_own_dump() -> None:
    assert Recipe.model_validate(Recipe().model_dump(mode="json")) == Recipe()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("epochs: 0", "epochs"),
        ("epoch: 3", "epoch"),
        ("crop_px: 100", "crop_px"),
        ("boundary_px: 9", "boundary_px"),
        ("precision: fp64", "precision"),
        ("augmentation:\n  blur_p: 2", "augmentation.blur_p"),
        ("loss:\n  class_weights: [1, 2]", "loss.class_weights"),
        ("optimisation:\n  ema_decay: 1", "optimisation.ema_decay"),
        ("- 1\n- 2", ""),
        ("epochs: [", "YAML"),
        ("loss:\n  class_weights: [0, 0, 0]", "class_weights"),
        ("loss:\n  class_weights: [-1, 1, 1]", "loss.class_weights.0"),
        ("loss:\n  dice: .nan", "loss.dice"),
        ("optimisation:\n  learning_rate: .inf", "optimisation.learning_rate"),
        ("augmentation:\n  stain_shift: .inf", "augmentation.stain_shift"),
    ],
)
def test_a_faulty_recipe_is_refused_by_place(tmp_path: Path, text: str, place: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        Recipe.load(file)
    assert caught.value.path == str(file)
    assert place in caught.value.what


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml.*No such file"):
        Recipe.load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no regular file"):
        Recipe.load(tmp_path)


def test_a_recipe_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes("# für Zellkerne\nepochs: 3".encode("utf-16-le") + b"\xff")
    with pytest.raises(UsageError, match="not a YAML file"):
        Recipe.load(file)


def test_a_former_name_is_still_taken_and_kept_in_manifests(tmp_path: Path) -> None:
    former = PretrainRecipe.load(write(tmp_path, "finer: 2\nsteps: 7\n"))
    assert former == PretrainRecipe(mpp_factor=2, steps=7)
    assert PretrainRecipe().changed({"finer": 3}) == PretrainRecipe(mpp_factor=3)
    recorded = former.recorded()
    assert recorded["finer"] == 2
    assert "mpp_factor" not in recorded
    assert PretrainRecipe.parse(recorded) == former
    with pytest.raises(UsageError, match="finer is called mpp_factor now"):
        PretrainRecipe.load(write(tmp_path, "finer: 2\nmpp_factor: 2\n"))
    with pytest.raises(UsageError, match="finer is called mpp_factor now"):
        PretrainRecipe().changed({"finer": 2, "mpp_factor": 2})


def test_a_weight_of_types_is_recorded_where_it_was_chosen() -> None:
    """A run that began before there was one is resumed by the default, and by no other."""
    before = Recipe().recorded()
    assert set(before["loss"]) == {"class_weights", "dice", "truncation", "teacher"}
    assert Recipe.parse(before) == Recipe()
    chosen = Recipe.parse({"loss": {"types": 0.3}})
    assert chosen.recorded()["loss"]["types"] == 0.3
    assert Recipe.parse(chosen.recorded()) == chosen
    with pytest.raises(UsageError, match=r"loss\.types"):
        Recipe.parse({"loss": {"types": -1}})
