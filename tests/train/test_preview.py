"""The preview of a training: what it shows, and that it never takes an image's place."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import pytest

from tests.train.tiny import job, write_dataset
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.train.preview import draw_preview, write_preview


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set")


def test_crops_stand_above_their_classes(dataset: Path, tmp_path: Path) -> None:
    write_preview(job(dataset), tmp_path / "crops.png")
    picture = imagecodecs.png_decode((tmp_path / "crops.png").read_bytes())
    rows = 4 * 2 * 64
    assert picture.shape[0] > rows  # a title above, colours and their names below
    assert picture.shape[1] == 8 * 64
    crops = draw_preview(job(dataset))
    (top,) = [at for at in range(len(picture) - rows + 1) if (picture[at : at + rows] == crops).all()]
    assert 0 < top < len(picture) - rows
    classes = crops.reshape(4, 2, 64, 8 * 64, 3)[:, 1].reshape(-1, 3)
    assert {tuple(colour) for colour in classes.tolist()} == {(0, 0, 0), (90, 160, 90), (230, 200, 60)}
    with pytest.raises(OutputExists, match="`overwrite`"):
        write_preview(job(dataset), tmp_path / "crops.png")


@pytest.mark.parametrize("place", ["images/0.png", "labels/new.png", "images/new.png"])
def test_nothing_is_written_among_the_images(dataset: Path, place: str) -> None:
    before = {path: path.read_bytes() for path in dataset.rglob("*.png")}
    with pytest.raises(OutputExists, match="among the images"):
        write_preview(job(dataset), dataset / place, overwrite=True)
    assert {path: path.read_bytes() for path in dataset.rglob("*.png")} == before


def test_links_folders_and_other_endings_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("link.png", "folder.png"):
        with pytest.raises(OutputExists, match="link"):
            write_preview(job(dataset), tmp_path / name, overwrite=True)
    with pytest.raises(UsageError, match=r"\.png"):
        write_preview(job(dataset), tmp_path / "crops.jpg")
