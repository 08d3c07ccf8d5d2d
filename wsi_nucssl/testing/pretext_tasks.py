"""What the training loop relies on, whichever the pretext task.

from wsi_nucssl.testing.pretext_tasks import PretextTaskTests

class TestMyTask(PretextTaskTests):
    name = "my-task"
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import PretextTask
from wsi_nucssl.pretext.tasks import build_task

TILE_PX = 128
SETTINGS = TaskSettings(view_px=96)


def make_tiles(count: int, side: int = TILE_PX) -> Tensor:
    """Tiles of random blocks, uint8 (count, 3, side, side), `side` a multiple of 8."""
    blocks = np.random.default_rng(7).integers(0, 256, (count, 3, side // 8, side // 8), np.uint8)
    return torch.from_numpy(blocks.repeat(8, 2).repeat(8, 3))


def choices_for(task: PretextTask, count: int, seed: int = 0, side: int = TILE_PX) -> dict[str, Tensor]:
    """What the task draws for `count` tiles, stacked as its `views` takes it."""
    drawn = [task.choose(side, np.random.default_rng((seed, item))) for item in range(count)]
    return {name: torch.from_numpy(np.stack([each[name] for each in drawn])) for name in drawn[0]}


def model_for(task: PretextTask, encoder: str = "resnet18") -> PretextModel:
    """An encoder with the task's head, always the same."""
    torch.manual_seed(0)
    built = build_encoder(encoder)
    return PretextModel(built, task.head(built.channels))


class PretextTaskTests:
    """To be inherited.

    Attributes
    ----------
    name : str
        Of the task, in `TASKS`; or override the fixture `task`.
    learning_rate : float
        Of the few steps by SGD that must lower the loss.
    """

    name: str
    learning_rate: float = 1e-2

    @pytest.fixture
    def task(self) -> PretextTask:
        """The task under test, for views of 96 px."""
        return build_task(self.name, SETTINGS)

    def test_choices_are_a_function_of_their_generator(self, task: PretextTask) -> None:
        """A resumed run sees the views that it would have seen."""
        first, second = (task.choose(TILE_PX, np.random.default_rng(3)) for _ in range(2))
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)

    def test_choices_differ_from_tile_to_tile(self, task: PretextTask) -> None:
        """Else every tile would be cut alike."""
        boxes = choices_for(task, 20)["boxes"].flatten(1).tolist()
        assert any(each != boxes[0] for each in boxes)

    @pytest.mark.parametrize("side", [125, 128, 301])
    def test_boxes_lie_in_the_tile(self, task: PretextTask, side: int) -> None:
        """Half-open, and none is empty."""
        boxes = choices_for(task, 20, side=side)["boxes"]
        assert boxes.shape[2] == 4
        assert int(boxes.min()) >= 0
        assert int(boxes.max()) <= side
        assert bool((boxes[..., 2:] > boxes[..., :2]).all())

    def test_views_are_images_for_the_network(self, task: PretextTask) -> None:
        """Square, of a side that the encoder takes, a whole number for each tile."""
        views = task.views(make_tiles(2), choices_for(task, 2))
        count, channels, height, width = views.images.shape
        assert views.images.dtype == torch.float32
        assert (count % 2, channels) == (0, 3)
        assert height == width
        assert height % 32 == 0
        assert bool(torch.isfinite(views.images).all())

    def test_views_are_a_function_of_tiles_and_choices(self, task: PretextTask) -> None:
        """No randomness of their own."""
        first, second = (task.views(make_tiles(2), choices_for(task, 2)) for _ in range(2))
        assert torch.equal(first.images, second.images)

    def test_views_depend_on_the_tiles(self, task: PretextTask) -> None:
        """Another tile, other views."""
        choices = choices_for(task, 2)
        assert not torch.equal(
            task.views(make_tiles(2), choices).images, task.views(255 - make_tiles(2), choices).images
        )

    def test_an_item_looks_the_same_in_any_batch(self, task: PretextTask) -> None:
        """All first views stand first, and what a tile shows does not depend on its neighbours."""
        both, chosen = make_tiles(2), choices_for(task, 2)
        together = task.views(both, chosen).images
        alone = task.views(both[1:], {name: value[1:] for name, value in chosen.items()}).images
        assert torch.allclose(together[1::2], alone, atol=1e-3)

    def test_the_loss_is_finite_and_reaches_every_weight_of_the_encoder(self, task: PretextTask) -> None:
        """What is logged is a detached scalar each."""
        model = model_for(task)
        views = task.views(make_tiles(3), choices_for(task, 3))
        loss, logged = task.loss(model(views.images), views.targets)
        assert loss.ndim == 0
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
        assert any(bool(p.grad.abs().sum() > 0) for p in model.encoder.parameters() if p.grad is not None)
        assert logged
        assert all(value.ndim == 0 and not value.requires_grad for value in logged.values())

    def test_a_few_steps_on_one_batch_lower_the_loss(self, task: PretextTask) -> None:
        """The loss can be learnt from."""
        model = model_for(task)
        optimiser = torch.optim.SGD(model.parameters(), self.learning_rate)
        views = task.views(make_tiles(2), choices_for(task, 2))
        losses = []
        for _ in range(4):
            loss, _ = task.loss(model(views.images), views.targets)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]

    def test_the_warning_reads_what_the_loss_logs(self, task: PretextTask) -> None:
        """None, or one line for people."""
        views = task.views(make_tiles(2), choices_for(task, 2))
        _, logged = task.loss(model_for(task)(views.images), views.targets)
        said = task.warning({name: float(value) for name, value in logged.items()})
        assert said is None or (said and "\n" not in said)
