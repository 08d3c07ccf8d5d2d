"""One conformance suite that every pretext task passes, and what is particular to each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.pretext.jigsaw import ORDERS, Jigsaw, orders
from wsi_nucssl.pretext.model import PretextModel, normalised_each
from wsi_nucssl.pretext.settings import Deshortcut, TaskSettings
from wsi_nucssl.pretext.task import PretextTask
from wsi_nucssl.pretext.tasks import TASK_NAMES, TaskName, build_task
from wsi_nucssl.pretext.triplet_rank import TripletRank

TILE = 128
SMALL = TaskSettings(view_px=96)


def tiles(count: int, side: int = TILE) -> Tensor:
    smooth = np.random.default_rng(7).integers(0, 256, (count, 3, side // 8, side // 8), np.uint8)
    return torch.from_numpy(smooth.repeat(8, 2).repeat(8, 3))


def plans(task: PretextTask, count: int, seed: int = 0, side: int = TILE) -> dict[str, Tensor]:
    drawn = [task.plan(side, np.random.default_rng((seed, item))) for item in range(count)]
    return {name: torch.from_numpy(np.stack([plan[name] for plan in drawn])) for name in drawn[0]}


def model_for(task: PretextTask) -> PretextModel:
    torch.manual_seed(0)
    encoder = build_encoder("resnet18")
    return PretextModel(encoder, task.head(encoder.channels))


@pytest.mark.parametrize("name", TASK_NAMES)
class TestConformance:
    """What the loop relies on, whichever the task."""

    @pytest.fixture
    def task(self, name: TaskName) -> PretextTask:
        return build_task(name, SMALL)

    def test_a_plan_is_a_function_of_its_generator(self, task: PretextTask) -> None:
        first, second = (task.plan(TILE, np.random.default_rng(3)) for _ in range(2))
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[key], second[key]) for key in first)

    @pytest.mark.parametrize("side", [125, 128, 301])
    def test_boxes_lie_in_the_tile(self, task: PretextTask, side: int) -> None:
        boxes = plans(task, 20, side=side)["boxes"]
        assert boxes.shape[2] == 4
        assert int(boxes.min()) >= 0
        assert int(boxes.max()) <= side
        assert bool((boxes[..., 2:] > boxes[..., :2]).all())

    def test_views_are_images_for_the_network(self, task: PretextTask) -> None:
        views = task.views(tiles(2), plans(task, 2))
        assert views.images.dtype == torch.float32
        assert views.images.shape[0] % 2 == 0
        assert views.images.shape[1] == 3
        assert views.images.shape[2] == views.images.shape[3]
        assert views.images.shape[2] % 32 == 0
        assert bool(torch.isfinite(views.images).all())

    def test_views_are_a_function_of_tiles_and_plan(self, task: PretextTask) -> None:
        first, second = (task.views(tiles(2), plans(task, 2)) for _ in range(2))
        assert torch.equal(first.images, second.images)

    def test_an_item_looks_the_same_in_any_batch(self, task: PretextTask) -> None:
        both, planned = tiles(2), plans(task, 2)
        together = task.views(both, planned).images
        alone = task.views(both[1:], {name: value[1:] for name, value in planned.items()}).images
        assert torch.allclose(together[1::2], alone, atol=1e-3)

    def test_the_loss_is_finite_and_reaches_every_weight_of_the_encoder(self, task: PretextTask) -> None:
        model = model_for(task)
        views = task.views(tiles(3), plans(task, 3))
        loss, logged = task.loss(model(views.images), views.targets)
        assert loss.ndim == 0
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
        assert any(bool(p.grad.abs().sum() > 0) for p in model.encoder.parameters() if p.grad is not None)
        assert logged
        assert all(value.ndim == 0 and not value.requires_grad for value in logged.values())

    def test_a_few_steps_on_one_batch_lower_the_loss(self, task: PretextTask) -> None:
        model = model_for(task)
        optimiser = torch.optim.SGD(model.parameters(), 1e-2)
        views = task.views(tiles(2), plans(task, 2))
        losses = []
        for _ in range(4):
            loss, _ = task.loss(model(views.images), views.targets)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]


class TestTripletRank:
    def outputs(self, d_an: float, lead: float) -> Mapping[str, Tensor]:
        """Two triplets: anchor = positive, negative `d_an` away; the positive scores `lead` more than the negative."""
        z = torch.zeros(6, 128)
        z[4:, 0] = d_an**0.5
        return {"z": z, "score": torch.tensor([0.0, 0.0, lead, lead, 0.0, 0.0])}

    def test_metrics_say_what_the_embeddings_say(self) -> None:
        loss, logged = TripletRank(SMALL).loss(self.outputs(0.25, 3.0), {})
        assert float(logged["d_ap"]) == 0.0
        assert float(logged["d_an"]) == pytest.approx(0.25)
        assert float(logged["loss_triplet"]) == pytest.approx(0.75)
        assert float(logged["active_triplet"]) == 1.0
        assert float(logged["loss_rank"]) == 0.0
        assert float(logged["active_rank"]) == 0.0
        assert float(logged["rank_accuracy"]) == 1.0
        assert float(loss) == pytest.approx(0.75)

    def test_weights_of_zero_give_the_papers_ablations(self) -> None:
        outputs = self.outputs(0.25, 0.5)
        triplet, rank, both = (
            build_task(name, SMALL).loss(outputs, {})[0] for name in ("triplet", "rank", "triplet-rank")
        )
        assert float(triplet) == pytest.approx(0.75)
        assert float(rank) == pytest.approx(0.5)
        assert float(both) == pytest.approx(1.25)

    def test_two_weights_of_zero_are_refused(self) -> None:
        with pytest.raises(UsageError, match="positive weight"):
            TripletRank(SMALL, 0.0, 0.0)

    def test_collapse_is_called_by_its_name(self) -> None:
        task = TripletRank(SMALL)
        _, logged = task.loss(self.outputs(0.0, 0.0), {})
        warning = task.warning({name: float(value) for name, value in logged.items()})
        assert warning is not None
        assert "collapsed" in warning
        assert "learning rate" in warning
        _, healthy = task.loss(self.outputs(0.8, 0.5), {})
        assert task.warning({name: float(value) for name, value in healthy.items()}) is None

    def test_a_task_solved_too_easily_is_warned_of_while_the_shortcut_is_open(self) -> None:
        _, logged = TripletRank(SMALL).loss(self.outputs(4.0, 2.0), {})
        means = {name: float(value) for name, value in logged.items()}
        warning = TripletRank(SMALL).warning(means)
        assert warning is not None
        assert "--deshortcut" in warning
        closed = TaskSettings(view_px=96, deshortcut=Deshortcut(enabled=True))
        assert TripletRank(closed).warning(means) is None

    def test_stain_is_shared_within_a_triplet(self) -> None:
        plain = TripletRank(TaskSettings(view_px=96, turn=False))
        stained = TripletRank(TaskSettings(view_px=96, turn=False, stain=0.3))
        flat = torch.full((1, 3, TILE, TILE), 150, dtype=torch.uint8)
        before, after = (
            plain.views(flat, plans(plain, 1)).images,
            stained.views(flat, plans(stained, 1)).images,
        )
        assert not torch.equal(before, after)
        assert torch.equal(after[0], after[1])
        assert torch.equal(after[0], after[2])

    def test_deshortcut_spoils_each_view_on_its_own(self) -> None:
        task = TripletRank(TaskSettings(view_px=96, deshortcut=Deshortcut(enabled=True)))
        flat = torch.full((2, 3, TILE, TILE), 150, dtype=torch.uint8)
        deviations = task.views(flat, plans(task, 2)).images.std(dim=(1, 2, 3))
        assert len(deviations.round(decimals=2).unique()) == 6


class TestJigsaw:
    def test_orders_are_far_apart(self) -> None:
        chosen = orders()
        assert chosen.shape == (ORDERS, 9)
        assert bool((np.sort(chosen, axis=1) == np.arange(9)).all())
        nearest = min(int((a != b).sum()) for a, b in itertools.combinations(chosen, 2))
        assert nearest >= 6

    def test_greedy_choice_equals_a_plain_search_of_four(self) -> None:
        candidates = list(itertools.permutations(range(9)))
        chosen = [candidates[0]]
        for _ in range(2):
            scores = [min(sum(x != y for x, y in zip(c, d, strict=True)) for d in chosen) for c in candidates]
            chosen.append(candidates[scores.index(max(scores))])
        assert orders()[:3].tolist() == [list(order) for order in chosen]

    def test_pieces_come_in_the_order_named(self) -> None:
        task = Jigsaw(SMALL)
        plan = plans(task, 30)
        centres = (plan["boxes"][..., :2] + plan["boxes"][..., 2:]).float() / 2
        for item in range(30):
            ranks = centres[item] - centres[item].amin(dim=0)
            cells = (ranks / (ranks.amax(dim=0) / 2)).round()
            assert (cells[:, 1] * 3 + cells[:, 0]).tolist() == orders()[int(plan["order"][item])].tolist()

    def test_each_piece_is_normalised_by_itself(self) -> None:
        images = normalised_each(
            torch.rand(3, 3, 32, 32) * torch.tensor([10.0, 100.0, 255.0]).view(3, 1, 1, 1)
        )
        model = model_for(Jigsaw(SMALL))
        seen = (images / 255 - model.mean) / model.std
        assert float(seen.mean(dim=(2, 3)).abs().max()) < 1e-3
        assert float((seen.std(dim=(2, 3))[2] - 1).abs().max()) < 0.02


def test_rotation_shows_every_view_in_four_rotations() -> None:
    task = build_task("rotation", SMALL)
    views = task.views(tiles(2), plans(task, 2))
    assert views.targets["turns"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(views.images[:2].rot90(2, (2, 3)), views.images[4:6])


def test_colorme_sees_green_and_is_asked_for_red_and_blue() -> None:
    task = build_task("colorme", SMALL)
    flat = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, TILE, TILE)
    views = task.views(flat, plans(task, 1))
    assert views.images.unique().tolist() == [100.0]
    assert views.targets["colours"][0, 0].unique().item() == pytest.approx(200 / 255)
    assert views.targets["colours"][0, 1].unique().item() == pytest.approx(50 / 255)
    assert views.targets["histograms"][0].argmax(dim=1).tolist() == [200 // 8, 50 // 8]
    assert torch.allclose(views.targets["histograms"].sum(dim=2), torch.ones(1, 2))


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown pretext task 'simclr'"):
        build_task("simclr", SMALL)  # type: ignore[arg-type]


@pytest.mark.parametrize("view_px", [16, 100])
def test_views_that_do_not_suit_the_network_are_refused(view_px: int) -> None:
    with pytest.raises(UsageError, match="multiple of 32"):
        TaskSettings(view_px=view_px)
