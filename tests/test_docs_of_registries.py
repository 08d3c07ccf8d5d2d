"""The tables of the documentation are those that the registries give, and its examples are whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wsi_nucssl.models.encoders import ENCODERS
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.registry import Registry

DOCS = Path(__file__).parent.parent / "docs"


def table(registry: Registry[Any]) -> str:
    rows = [f"| `{plugin.name}` | {plugin.help} |" for plugin in registry.own]
    return "\n".join([f"| {registry.kind} | |", "|---|---|", *rows])


@pytest.mark.parametrize(("page", "registry"), [("pretrain.md", TASKS), ("models.md", ENCODERS)])
def test_the_page_shows_the_registrys_table(page: str, registry: Registry[Any]) -> None:
    expected = table(registry)
    assert expected in (DOCS / page).read_text(), f"put this into docs/{page}:\n{expected}"


def examples(section: str) -> list[str]:
    text = (DOCS / "extending.md").read_text()
    (chapter,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)


def test_the_task_of_the_page_learns() -> None:
    from wsi_nucssl.testing import pretext_tasks

    space: dict[str, Any] = {}
    exec(examples("A pretext task")[0], space)
    task = space["Brightness"](pretext_tasks.SETTINGS)
    model = pretext_tasks.model_for(task)
    views = task.views(pretext_tasks.make_tiles(2), pretext_tasks.choices_for(task, 2))
    loss, logged = task.loss(model(views.images), views.targets)
    assert float(loss.detach()) == float(logged["loss_brightness"]) > 0


def test_the_encoder_of_the_page_has_five_maps() -> None:
    import torch

    space: dict[str, Any] = {}
    exec(examples("An encoder family")[0], space)
    encoder = space["FAMILY"].build("five-convolutions")
    maps = encoder(torch.zeros(1, 3, 64, 64))
    assert [each.shape[1:] for each in maps] == [
        (channels, 64 // by, 64 // by)
        for channels, by in zip(encoder.channels, encoder.reductions, strict=True)
    ]
