from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor

from wsi_nucssl.pretext import views as view_room
from wsi_nucssl.pretext.views import DIHEDRAL, add_noise, blur, cut, quantise, restain


def tiles(count: int = 2, side: int = 100) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side), np.uint8))


def still(boxes: Tensor) -> Tensor:
    return torch.zeros(boxes.shape[:2], dtype=torch.long)


def test_a_box_of_the_views_size_is_copied_exactly_in_view_major_order() -> None:
    source = tiles()
    boxes = torch.tensor([[[0, 0, 64, 64], [36, 36, 100, 100]], [[5, 17, 69, 81], [36, 0, 100, 64]]])
    views = cut(source, boxes, still(boxes), 64, 64)
    for view in range(2):
        for item in range(2):
            x0, y0, x1, y1 = boxes[item, view].tolist()
            assert torch.equal(views[view * 2 + item], source[item, :, y0:y1, x0:x1].float())


def test_a_768_px_view_of_a_1000_px_tile_is_exact() -> None:
    source = tiles(1, 1000)
    boxes = torch.tensor([[[232, 101, 1000, 869]]])
    assert torch.equal(cut(source, boxes, still(boxes), 768, 768)[0], source[0, :, 101:869, 232:].float())


def test_turns_are_the_eight_symmetries_of_the_square() -> None:
    source = tiles(1)
    boxes = torch.tensor([[[10, 20, 74, 84]]]).expand(1, 8, 4)
    views = cut(source, boxes, torch.arange(8)[None], 64, 64)
    upright = source[0, :, 20:84, 10:74].float()
    expected = [image.rot90(k, (1, 2)) for k in range(4) for image in (upright, upright.flip(2))]
    found = {next(i for i, other in enumerate(expected) if torch.equal(view, other)) for view in views}
    assert found == set(range(8))
    assert torch.equal(DIHEDRAL[0], torch.eye(2))


@pytest.mark.parametrize("side", [16, 32, 50])
def test_enlarging_equals_opencvs_bilinear_resize_of_the_box_alone(side: int) -> None:
    source = tiles(1)
    boxes = torch.tensor([[[20, 30, 20 + side, 30 + side]]])
    view = cut(source, boxes, still(boxes), 64, 64)[0].permute(1, 2, 0).numpy()
    crop = source[0, :, 30 : 30 + side, 20 : 20 + side].permute(1, 2, 0).numpy().astype(np.float32)
    expected = cv2.resize(crop, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(view - expected).max() <= 0.51


def test_reducing_averages_instead_of_picking() -> None:
    chequered = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    chequered[..., ::2, ::2] = chequered[..., 1::2, 1::2] = 254
    boxes = torch.tensor([[[0, 0, 128, 128]]])
    view = cut(chequered, boxes, still(boxes), 64, 128)
    assert view[0, :, 1:-1, 1:-1].unique().tolist() == [127.0]  # type: ignore[no-untyped-call]


def test_blur_follows_the_width_of_each_image() -> None:
    source = tiles(3, 64).float()
    blurred = blur(source, torch.tensor([0.0, 0.8, 2.0]), 2.0)
    assert torch.allclose(blurred[0], source[0], atol=1e-3)
    for image, width in ((1, 0.8), (2, 2.0)):
        expected = cv2.GaussianBlur(
            source[image].permute(1, 2, 0).numpy(), (13, 13), width, borderType=cv2.BORDER_REPLICATE
        )
        assert np.abs(blurred[image].permute(1, 2, 0).numpy() - expected).max() < 0.05


def test_noise_is_a_function_of_its_seed_and_width() -> None:
    grey = torch.full((2, 3, 64, 64), 128.0)
    first, again, other = (add_noise(grey, torch.tensor([0.0, 9.0]), seed) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[0], grey[0])
    assert float(first[1].std()) == pytest.approx(9.0, rel=0.05)


def test_no_change_of_stain_changes_nothing() -> None:
    source = tiles().float()
    same = restain(source, torch.ones(2, 3), torch.zeros(2, 3))
    assert torch.allclose(same, source, atol=0.01)


def test_more_of_every_stain_is_darker() -> None:
    source = tiles().float().clamp(10, 245)
    darker = restain(source, torch.full((2, 3), 1.2), torch.zeros(2, 3))
    assert bool((darker < source).all())


def test_quantised_views_could_have_come_from_a_file() -> None:
    view = quantise(torch.tensor([-3.0, 12.4, 999.0]))
    assert view.tolist() == [0.0, 12.0, 255.0]


def test_stains_are_those_of_ruifrok_and_johnston() -> None:
    np.testing.assert_allclose(view_room._RGB_FROM_HED.numpy(), rgb_from_hed, atol=1e-6)
    np.testing.assert_allclose(view_room._HED_FROM_RGB.numpy(), hed_from_rgb, atol=1e-5)
