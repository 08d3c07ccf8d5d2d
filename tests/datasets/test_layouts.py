"""Every layout gives the same pixels back, and every fault names file and remedy."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from tests.datasets import factory
from wsi_nucssl.datasets import MONUSEG_2018_TRAINING, monuseg_2018, open_dataset
from wsi_nucssl.errors import DatasetError, UsageError


def assert_pair(root: Path, sample_id: str, image: np.ndarray, labels: np.ndarray, layout: str) -> None:
    dataset = open_dataset(root)
    assert dataset.layout == layout
    read_image, read_labels = dataset[sample_id].pair()
    assert read_image.dtype == np.uint8
    assert read_labels.dtype == np.int32
    np.testing.assert_array_equal(read_image, image)
    np.testing.assert_array_equal(read_labels, labels)


def save_png(path: Path, ids: np.ndarray) -> None:
    factory.write_png(path.with_suffix(".png"), ids.astype(np.uint16))


def save_npy(path: Path, ids: np.ndarray) -> None:
    np.save(path.with_suffix(".npy"), ids.astype(np.int64))


def save_mat(path: Path, ids: np.ndarray) -> None:
    savemat(path.with_suffix(".mat"), {"inst_map": ids.astype(np.float64), "inst_type": np.ones((3, 1))})


def save_text(path: Path, ids: np.ndarray) -> None:
    factory.write_cpm_text(path.with_suffix(".txt"), ids)


@pytest.mark.parametrize("save", [save_png, save_npy, save_mat, save_text])
def test_folders_of_images_and_labels(tmp_path: Path, save: Callable[[Path, np.ndarray], None]) -> None:
    factory.write_png(tmp_path / "Images" / "a.png", factory.image())
    (tmp_path / "Labels").mkdir()
    save(tmp_path / "Labels" / "a", factory.labels())
    assert_pair(tmp_path, "a", factory.image(), factory.labels(), "folders")


def encode_tiff(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb")
    return file.getvalue()


FORMATS: dict[str, Callable[[np.ndarray], bytes | bytearray]] = {
    ".png": imagecodecs.png_encode,
    ".webp": lambda pixels: imagecodecs.webp_encode(pixels, lossless=True),
    ".jpg": lambda pixels: imagecodecs.jpeg8_encode(pixels, level=100, subsampling="444"),
    ".tif": encode_tiff,
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0, 4, 9, 0.3, 0.7, 0.9])
def test_an_image_that_is_cut_off_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "images" / "a.png").unlink()
    data = FORMATS[suffix](factory.image())
    data = data[: kept if isinstance(kept, int) else int(kept * len(data))]
    (tmp_path / "images" / f"a{suffix}").write_bytes(data)
    with pytest.raises(DatasetError, match="cannot be decoded"):
        open_dataset(tmp_path)["a"].image()


@pytest.mark.parametrize("suffix", FORMATS)
def test_image_formats_keep_red_green_and_blue_apart(tmp_path: Path, suffix: str) -> None:
    colour = np.full((*factory.SHAPE, 3), (200, 100, 50), np.uint8)
    factory.write_folders(tmp_path, "a")
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "images" / f"a{suffix}").write_bytes(FORMATS[suffix](colour))
    np.testing.assert_allclose(open_dataset(tmp_path)["a"].image(), colour, atol=3)


def test_monuseg_as_downloaded(tmp_path: Path) -> None:
    factory.write_tiff(tmp_path / "Tissue Images" / "TCGA-18-5592-01Z-00-DX1.tif", factory.image())
    factory.write_xml(
        tmp_path / "Annotations" / "TCGA-18-5592-01Z-00-DX1.xml", [(1, 1), (5, 1), (5, 3), (1, 3)]
    )
    labels = np.zeros(factory.SHAPE, np.int32)
    labels[1:3, 1:5] = 1
    assert_pair(tmp_path, "TCGA-18-5592-01Z-00-DX1", factory.image(), labels, "folders")
    assert open_dataset(tmp_path).samples[0].organ == "liver"


def test_monuseg_test_set_beside(tmp_path: Path) -> None:
    factory.write_tiff(tmp_path / "TCGA-2Z-A9J9-01A-01-TS1.tif", factory.image())
    factory.write_xml(tmp_path / "TCGA-2Z-A9J9-01A-01-TS1.xml", [(0, 0), (2, 0), (2, 2), (0, 2)])
    labels = np.zeros(factory.SHAPE, np.int32)
    labels[:2, :2] = 1
    assert_pair(tmp_path, "TCGA-2Z-A9J9-01A-01-TS1", factory.image(), labels, "beside")
    assert open_dataset(tmp_path).samples[0].organ == "kidney"


@pytest.mark.parametrize("header", [(9, 6), (6, 9)])
def test_cpm_as_downloaded(tmp_path: Path, header: tuple[int, int]) -> None:
    factory.write_png(tmp_path / "image01.png", factory.image())
    factory.write_png(tmp_path / "image01_poly.png", factory.image(7))
    factory.write_cpm_text(tmp_path / "image01_mask.txt", factory.labels(), header)
    assert_pair(tmp_path, "image01", factory.image(), factory.labels(), "beside")


def test_pictures_of_labels_beside_images(tmp_path: Path) -> None:
    factory.write_png(tmp_path / "a.png", factory.image())
    factory.write_png(tmp_path / "a_label.png", factory.labels().astype(np.uint8))
    assert_pair(tmp_path, "a", factory.image(), factory.labels(), "beside")


def write_pannuke(images: Path, masks: Path) -> tuple[np.ndarray, np.ndarray]:
    stack = np.stack([factory.image(0), factory.image(1)])
    channels = np.zeros((2, *factory.SHAPE, 6), np.float64)
    channels[1, 0, :4, 0] = 3
    channels[1, 0, 2:6, 2] = 3
    channels[1, ..., 5] = 1
    images.mkdir(parents=True)
    masks.mkdir(parents=True, exist_ok=True)
    np.save(images / "images.npy", stack.astype(np.float64))
    np.save(images / "types.npy", np.array(["Breast", "HeadNeck"]))
    np.save(masks / "masks.npy", channels)
    return stack, channels


@pytest.mark.parametrize("masks", ["fold1", "Fold 1/masks/fold1"])
def test_pannuke(tmp_path: Path, masks: str) -> None:
    folder = tmp_path / masks.replace("masks", "images")
    stack, _ = write_pannuke(folder, tmp_path / masks)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.ids) == ("pannuke", ("fold1-00000", "fold1-00001"))
    assert [sample.organ for sample in dataset] == ["breast", "headneck"]
    image, labels = dataset["fold1-00001"].pair()
    np.testing.assert_array_equal(image, stack[1])
    assert labels[0].tolist() == [3, 3, 3, 3, 6, 6, 0, 0, 0]
    assert labels[1:].max() == 0


def test_pannuke_folds_of_one_name_are_refused(tmp_path: Path) -> None:
    for side in ("a", "b"):
        write_pannuke(tmp_path / side / "fold1", tmp_path / side / "fold1")
    with pytest.raises(DatasetError, match="two folds are called fold1"):
        open_dataset(tmp_path)


def test_pannuke_of_unequal_parts(tmp_path: Path) -> None:
    write_pannuke(tmp_path / "fold1", tmp_path / "fold1")
    np.save(tmp_path / "fold1" / "masks.npy", np.zeros((3, *factory.SHAPE, 6)))
    with pytest.raises(DatasetError, match="2 images"):
        open_dataset(tmp_path)
    (tmp_path / "fold1" / "masks.npy").unlink()
    with pytest.raises(DatasetError, match=r"no masks\.npy"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("images.npy", np.zeros((2, 6, 9)), r"not \(image, row, col, 3\)"),
        ("images.npy", np.full((2, 6, 9, 3), 256.0), "image 0 is not within 0 to 255"),
        ("images.npy", np.full((2, 6, 9, 3), np.nan), "image 0 is not within 0 to 255"),
        ("masks.npy", np.full((2, 6, 9, 6), 0.5), "not whole numbers"),
        ("masks.npy", np.full((2, 6, 9, 6), -3), "not whole numbers"),
        ("masks.npy", np.zeros((2, 6, 9, 5)), r"not \(image, row, col, 6\)"),
        ("masks.npy", np.zeros((2, 5, 9, 6)), "are 9 × 5, the image 9 × 6"),
        ("types.npy", np.array([1, 2]), "not 2 names of organs"),
    ],
)
def test_pannuke_of_another_shape(tmp_path: Path, file: str, content: np.ndarray, says: str) -> None:
    write_pannuke(tmp_path / "fold1", tmp_path / "fold1")
    np.save(tmp_path / "fold1" / file, content)
    with pytest.raises(DatasetError, match=says):
        open_dataset(tmp_path)["fold1-00000"].pair()


def test_the_real_images_have_the_published_hashes(monuseg: Path) -> None:
    manifest = json.loads((monuseg / "manifest.json").read_text())
    dataset = open_dataset(monuseg)
    assert dataset.ids == tuple(sorted(manifest))
    assert [note.split(":")[0] for note in dataset.notes] == ["The images differ in resolution"]
    for sample in list(dataset)[::6]:
        image, labels = sample.pair()
        assert hashlib.sha256(image.tobytes()).hexdigest() == manifest[sample.id]["rgb_sha256"]
        assert (
            hashlib.sha256(labels.astype("<u2").tobytes()).hexdigest() == manifest[sample.id]["label_sha256"]
        )
        assert len(np.unique(labels)) - 1 == manifest[sample.id]["nuclei"]
        assert sample.organ is not None


def test_the_release_of_37_is_noticed(tmp_path: Path) -> None:
    extra = ["TCGA-E2-A154-01Z-00-DX1", "TCGA-FG-A4MU-01B-01-TS1"]
    factory.write_folders(tmp_path, *(f"{patient}-01Z-00-DX1" for patient in MONUSEG_2018_TRAINING), *extra)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 32
    assert "later release" in dataset.notes[0]
    assert "TCGA-FG-A4MU-01B-01-TS1 also belongs to the challenge's test set" in dataset.notes[1]
    kept = monuseg_2018(dataset)
    assert len(kept) == 30
    assert not set(extra) & set(kept.ids)
    assert kept.notes == ()


def test_a_dataset_is_ordered_indexed_and_picklable(tmp_path: Path) -> None:
    dataset = open_dataset(factory.write_folders(tmp_path, "b", "a", "c"))
    assert dataset.ids == ("a", "b", "c") == tuple(sample.id for sample in dataset)
    assert len(dataset.subset(["c", "a", "c"])) == 2
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again["b"].labels(), factory.labels(0))
    with pytest.raises(DatasetError, match="no image of id 'z'"):
        dataset["z"]
    with pytest.raises(DatasetError, match="no annotated image"):
        dataset.subset([])


def test_an_image_without_annotation_is_an_error(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a", "b")
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images have no annotation, the first is b\.png"):
        open_dataset(tmp_path)


def test_an_annotation_without_image_is_an_error(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a", "b")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"no image, the first is a\.png"):
        open_dataset(tmp_path)


def test_two_annotations_of_one_image_are_an_error(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a")
    np.save(tmp_path / "labels" / "a.npy", factory.labels())
    with pytest.raises(DatasetError, match="two files claim the id a"):
        open_dataset(tmp_path)


def test_sizes_must_agree(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a")
    factory.write_png(tmp_path / "labels" / "a.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DatasetError, match="are 4 × 3, the image 9 × 6 px"):
        open_dataset(tmp_path)["a"].labels()


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (np.zeros((*factory.SHAPE, 3), np.uint8), "not a label image"),
        (np.zeros(factory.SHAPE, bool), "not a label image"),
        (np.full(factory.SHAPE, 0.5), "not whole numbers"),
        (np.full(factory.SHAPE, np.nan), "not whole numbers"),
        (np.full(factory.SHAPE, -1), "ids reach from -1"),
        (np.full(factory.SHAPE, 2**31), "ids reach from 0 to 2147483648"),
        (np.full(factory.SHAPE, np.inf), "ids reach"),
        (np.full(factory.SHAPE, 255, np.uint8), "does not tell nuclei apart"),
        (np.array({"a": 1}), r"not a readable \.npy"),
    ],
)
def test_refuses_what_is_no_label_image(tmp_path: Path, ids: np.ndarray, says: str) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "labels" / "a.png").unlink()
    np.save(tmp_path / "labels" / "a.npy", ids)
    with pytest.raises(DatasetError, match=says) as caught:
        open_dataset(tmp_path)["a"].labels()
    assert str(caught.value.path).endswith("a.npy")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.mat", b"MATLAB 7.3", "not a readable MATLAB file"),
        ("a.npy", b"", r"not a readable \.npy"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        ("a.tif", b"II*\x00", "cannot be decoded"),
        ("a.txt", b"9 6\n0 1 0", "3 ids do not fill"),
        ("a.npy", b"PK\x03\x04", r"not a readable \.npy"),
        ("a.npy", b"\x93NUMPY\x01\x00\x08\x00{('a': \n", r"not a readable \.npy"),
        ("a.txt", b"-2 -2 1 1 1 1", "do not fill"),
        ("a.txt", b"9 6 12345678901234567890", "not a text of whole numbers"),
        ("a.txt", b"nine six", "not a text of whole numbers"),
        ("a.txt", b"\xff\xfe", "not a text of whole numbers"),
        ("a.txt", b"", "do not fill"),
    ],
)
def test_broken_label_files(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "labels" / "a.png").unlink()
    (tmp_path / "labels" / name).write_bytes(data)
    with pytest.raises(DatasetError, match=says):
        open_dataset(tmp_path)["a"].labels()


def test_a_mat_file_without_inst_map(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "labels" / "a.png").unlink()
    savemat(tmp_path / "labels" / "a.mat", {"other": factory.labels()})
    with pytest.raises(DatasetError, match="no variable inst_map"):
        open_dataset(tmp_path)["a"].labels()


def test_a_mat_file_of_matlab_7_3_is_refused_with_the_way_to_save_it(tmp_path: Path) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "labels" / "a.png").unlink()
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "labels" / "a.mat").write_bytes(header + bytes(512))
    with pytest.raises(DatasetError, match=r"a\.mat.*7\.3.*save -v7 in MATLAB"):
        open_dataset(tmp_path)["a"].labels()


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (
            np.zeros((*factory.SHAPE, 3), np.int16),
            "its colours are not certain.*photometric RGB, 16 bits signed",
        ),
        (None, "cannot be decoded"),
    ],
)
def test_refuses_what_is_no_rgb_image(tmp_path: Path, pixels: np.ndarray | None, says: str) -> None:
    file = factory.write_folders(tmp_path, "a") / "images" / "a.png"
    if pixels is None:
        file.write_bytes(file.read_bytes()[:60])
    else:
        tifffile.imwrite(file, pixels, photometric="rgb", metadata=None)
    with pytest.raises(DatasetError, match=says):
        open_dataset(tmp_path)["a"].image()


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((*factory.SHAPE, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    factory.write_png(factory.write_folders(tmp_path, "a") / "images" / "a.png", rgba)
    image = open_dataset(tmp_path)["a"].image()
    assert image[0, 0].tolist() == [10, 20, 30]
    assert (image[1:] == 255).all()


def test_unknown_layouts_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Known layouts"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(UsageError, match="no layout is called 'voc'"):
        open_dataset(tmp_path, layout="voc")
    with pytest.raises(DatasetError, match="not 'beside'"):
        open_dataset(factory.write_folders(tmp_path, "a"), layout="beside")
