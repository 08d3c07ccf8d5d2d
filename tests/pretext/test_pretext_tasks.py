"""Every pretext task passes the conformance suite; and what is particular to each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from wsi_nucssl.errors import UsageError
from wsi_nucssl.pretext.jigsaw import ORDERS, Jigsaw, orders
from wsi_nucssl.pretext.model import normalised_each
from wsi_nucssl.pretext.settings import ShortcutAugmentation, TaskSettings
from wsi_nucssl.pretext.tasks import TASKS, build_task
from wsi_nucssl.pretext.triplet_rank import TripletRank
from wsi_nucssl.testing.pretext_tasks import (
    SETTINGS,
    TILE_PX,
    PretextTaskTests,
    choices_for,
    make_tiles,
    model_for,
)


class TestTripletRankConforms(PretextTaskTests):
    name = "triplet-rank"


class TestTripletConforms(PretextTaskTests):
    name = "triplet"


class TestRankConforms(PretextTaskTests):
    name = "rank"


class TestJigsawConforms(PretextTaskTests):
    name = "jigsaw"


class TestRotationConforms(PretextTaskTests):
    name = "rotation"


class TestColorMeConforms(PretextTaskTests):
    name = "colorme"


def test_every_task_of_ours_conforms() -> None:
    tested = {each.name for each in PretextTaskTests.__subclasses__()}
    assert set(TASKS.own_names) <= tested


class TestTripletRank:
    def outputs(self, d_an: float, lead: float) -> Mapping[str, Tensor]:
        """Two triplets: anchor = positive, negative `d_an` away; the positive scores `lead` more than the negative."""
        z = torch.zeros(6, 128)
        z[4:, 0] = d_an**0.5
        return {"z": z, "score": torch.tensor([0.0, 0.0, lead, lead, 0.0, 0.0])}

    def test_metrics_say_what_the_embeddings_say(self) -> None:
        loss, logged = TripletRank(SETTINGS).loss(self.outputs(0.25, 3.0), {})
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
            build_task(name, SETTINGS).loss(outputs, {})[0] for name in ("triplet", "rank", "triplet-rank")
        )
        assert float(triplet) == pytest.approx(0.75)
        assert float(rank) == pytest.approx(0.5)
        assert float(both) == pytest.approx(1.25)

    def test_two_weights_of_zero_are_refused(self) -> None:
        with pytest.raises(UsageError, match="positive weight"):
            TripletRank(SETTINGS, 0.0, 0.0)

    def test_collapse_is_called_by_its_name(self) -> None:
        task = TripletRank(SETTINGS)
        _, logged = task.loss(self.outputs(0.0, 0.0), {})
        warning = task.warning({name: float(value) for name, value in logged.items()})
        assert warning is not None
        assert "collapsed" in warning
        assert "learning rate" in warning
        _, healthy = task.loss(self.outputs(0.8, 0.5), {})
        assert task.warning({name: float(value) for name, value in healthy.items()}) is None

    def test_a_task_solved_too_easily_is_warned_of_while_the_shortcut_is_open(self) -> None:
        _, logged = TripletRank(SETTINGS).loss(self.outputs(4.0, 2.0), {})
        means = {name: float(value) for name, value in logged.items()}
        warning = TripletRank(SETTINGS).warning(means)
        assert warning is not None
        assert "⟨deshortcut⟩" in warning
        closed = TaskSettings(view_px=96, deshortcut=ShortcutAugmentation(enabled=True))
        assert TripletRank(closed).warning(means) is None

    def test_stain_is_shared_within_a_triplet(self) -> None:
        plain = TripletRank(TaskSettings(view_px=96, turn=False))
        stained = TripletRank(TaskSettings(view_px=96, turn=False, stain=0.3))
        flat = torch.full((1, 3, TILE_PX, TILE_PX), 150, dtype=torch.uint8)
        before, after = (
            plain.views(flat, choices_for(plain, 1)).images,
            stained.views(flat, choices_for(stained, 1)).images,
        )
        assert not torch.equal(before, after)
        assert torch.equal(after[0], after[1])
        assert torch.equal(after[0], after[2])

    def test_deshortcut_spoils_each_view_on_its_own(self) -> None:
        task = TripletRank(TaskSettings(view_px=96, deshortcut=ShortcutAugmentation(enabled=True)))
        flat = torch.full((2, 3, TILE_PX, TILE_PX), 150, dtype=torch.uint8)
        deviations = task.views(flat, choices_for(task, 2)).images.std(dim=(1, 2, 3))
        assert len(deviations.round(decimals=2).unique()) == 6  # type: ignore[no-untyped-call]


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
        task = Jigsaw(SETTINGS)
        choices = choices_for(task, 30)
        centres = (choices["boxes"][..., :2] + choices["boxes"][..., 2:]).float() / 2
        for item in range(30):
            ranks = centres[item] - centres[item].amin(dim=0)
            cells = (ranks / (ranks.amax(dim=0) / 2)).round()
            assert (cells[:, 1] * 3 + cells[:, 0]).tolist() == orders()[int(choices["order"][item])].tolist()

    def test_each_piece_is_normalised_by_itself(self) -> None:
        images = normalised_each(
            torch.rand(3, 3, 32, 32) * torch.tensor([10.0, 100.0, 255.0]).view(3, 1, 1, 1)
        )
        model = model_for(Jigsaw(SETTINGS))
        seen = (images / 255 - model.mean) / model.std
        assert float(seen.mean(dim=(2, 3)).abs().max()) < 1e-3
        assert float((seen.std(dim=(2, 3))[2] - 1).abs().max()) < 0.02


def test_rotation_shows_every_view_in_four_rotations() -> None:
    task = build_task("rotation", SETTINGS)
    views = task.views(make_tiles(2), choices_for(task, 2))
    assert views.targets["turns"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(views.images[:2].rot90(2, (2, 3)), views.images[4:6])


def test_colorme_sees_green_and_is_asked_for_red_and_blue() -> None:
    task = build_task("colorme", SETTINGS)
    flat = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, TILE_PX, TILE_PX)
    views = task.views(flat, choices_for(task, 1))
    assert views.images.unique().tolist() == [100.0]  # type: ignore[no-untyped-call]
    assert views.targets["colours"][0, 0].unique().item() == pytest.approx(200 / 255)  # type: ignore[no-untyped-call]
    assert views.targets["colours"][0, 1].unique().item() == pytest.approx(50 / 255)  # type: ignore[no-untyped-call]
    assert views.targets["histograms"][0].argmax(dim=1).tolist() == [200 // 8, 50 // 8]
    assert torch.allclose(views.targets["histograms"].sum(dim=2), torch.ones(1, 2))


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no pretext task 'simclr'\. Choose one of triplet-rank"):
        build_task("simclr", SETTINGS)


@pytest.mark.parametrize("view_px", [16, 100])
def test_views_that_do_not_suit_the_network_are_refused(view_px: int) -> None:
    with pytest.raises(UsageError, match="multiple of 32"):
        TaskSettings(view_px=view_px)
