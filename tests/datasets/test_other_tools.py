"""Datasets as COCO's tools, Cellpose, StarDist and CoNSeP leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import orjson
import pytest
import tifffile
from scipy.io import savemat

from tests.datasets import factory
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.datasets.layouts.coco import _unpacked
from wsi_nucssl.errors import DatasetError

SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]


def coco(folder: Path, *annotations: dict[str, Any], file_name: str = "a.png", **image: Any) -> Path:
    content = {
        "images": [{"id": 7, "file_name": file_name, "height": 6, "width": 9, **image}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 1, **each} for n, each in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "nucleus"}, {"id": 2, "name": "mitosis"}],
    }
    factory.write_png(folder / "a.png", factory.image())
    (folder / "instances_train.json").write_bytes(orjson.dumps(content))
    return folder


def test_polygons_count_from_px_corners_and_the_earlier_is_in_front(tmp_path: Path) -> None:
    over = [5.0, 4.0, 9.0, 4.0, 9.0, 6.0, 5.0, 6.0]
    labels = open_dataset(coco(tmp_path, {"segmentation": [SQUARE]}, {"segmentation": [over]}))["a"].labels()
    expected = np.zeros((6, 9), np.int32)
    expected[4:6, 5:9] = 2
    expected[1:5, 2:6] = 1
    np.testing.assert_array_equal(labels, expected)


def test_compressed_masks_are_those_of_the_reference(tmp_path: Path) -> None:
    """Texts of pycocotools 2.0.11, `mask.encode(np.asfortranarray(m))["counts"]` of the px below."""
    mask = np.zeros((6, 9), np.int32)
    mask[1:4, 2:5] = 1
    mask[5, 8] = 1
    sample = open_dataset(coco(tmp_path, {"segmentation": {"size": [6, 9], "counts": "=33000f0N"}}))["a"]
    np.testing.assert_array_equal(sample.labels(), mask)
    large = np.zeros((60, 90), bool)  # runs of thousands, and differences below 0
    large[:, 51:53] = True
    large[3:9, 60:70] = True
    text = "do2h3W=^L_D00000000000000000]U1"
    np.testing.assert_array_equal(_unpacked({"size": [60, 90], "counts": text}, (60, 90)), large)


def test_categories_are_classes(tmp_path: Path) -> None:
    folder = coco(
        tmp_path, {"segmentation": [SQUARE]}, {"segmentation": [[0, 0, 1, 0, 1, 1]], "category_id": 2}
    )
    assert open_dataset(folder, classes="nucleus")["a"].labels().max() == 1
    with pytest.raises(DatasetError, match=r"'cell'.*mitosis, nucleus"):
        open_dataset(folder, classes="cell")


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"bbox": [1, 1, 4, 4], "segmentation": []}, "a box and no outline"),
        ({"segmentation": {"size": [6, 9], "counts": [54]}, "iscrowd": 1}, "a crowd"),
        ({"segmentation": {"size": [6, 9], "counts": [50]}}, "do not fill the image"),
        ({"segmentation": {"size": [9, 6], "counts": [54]}}, "has the size"),
        ({"segmentation": {"size": [6, 9], "counts": "o"}}, "no nucleus"),
        ({"segmentation": [[1, 2, 3]]}, "no nucleus"),
    ],
)
def test_what_is_no_nucleus_is_named(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=f"annotation 0 of a .*{message}"):
        open_dataset(coco(tmp_path, annotation))["a"].labels()


def test_images_that_are_not_there_outside_or_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"b\.png is not there"):
        open_dataset(coco(tmp_path, file_name="b.png"))
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(factory.write_png(tmp_path / "x.png", factory.image()).read_bytes())
    with pytest.raises(DatasetError, match="is not there"):
        open_dataset(coco(tmp_path / "data", file_name="../secret.png"))
    with pytest.raises(DatasetError, match="at the same scale"):
        open_dataset(coco(tmp_path, {"segmentation": [SQUARE]}, width=18))["a"].labels()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    assert open_dataset(coco(tmp_path, {"segmentation": [SQUARE]}))["a"].labels().max() == 1
    assert open_dataset(coco(tmp_path))["a"].labels().max() == 0


def test_other_json_is_no_dataset_of_coco(tmp_path: Path) -> None:
    factory.write_png(tmp_path / "a.png", factory.image())
    np.save(tmp_path / "a_mask.npy", factory.labels())
    (tmp_path / "manifest.json").write_text('{"a": {"mpp": 0.5}, "images": 1}')
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset["a"].mpp) == ("beside", 0.5)


def test_cellpose_masks_are_labels_and_its_session_is_left_alone(tmp_path: Path) -> None:
    labels = factory.labels().astype(np.uint16)
    for name, save in (("a", "_cp_masks.png"), ("b", "_cp_masks.tif"), ("c", "_masks.tif")):
        factory.write_tiff(tmp_path / f"{name}.tif", factory.image())
        masks = tmp_path / f"{name}{save}"
        if save.endswith("png"):
            masks.write_bytes(imagecodecs.png_encode(labels))
        else:
            tifffile.imwrite(masks, labels)
    np.save(tmp_path / "a_seg.npy", np.array({"masks": labels}, dtype=object), allow_pickle=True)
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("a", "b", "c")
    for sample in dataset:
        np.testing.assert_array_equal(sample.labels(), labels)
    (tmp_path / "a_cp_masks.png").unlink()
    with pytest.raises(DatasetError, match=r"a_seg\.npy: this is a session of Cellpose.*Save masks as PNG"):
        open_dataset(tmp_path)


def test_stardist_and_consep_lie_in_two_folders(tmp_path: Path) -> None:
    labels = factory.labels()
    stardist, consep = tmp_path / "stardist", tmp_path / "consep"
    factory.write_tiff(stardist / "images" / "a.tif", factory.image())
    (stardist / "masks").mkdir()
    tifffile.imwrite(stardist / "masks" / "a.tif", labels.astype(np.uint16))
    factory.write_png(consep / "Images" / "train_1.png", factory.image())
    (consep / "Labels").mkdir()
    savemat(consep / "Labels" / "train_1.mat", {"inst_map": labels.astype(np.float64), "inst_type": [[1.0]]})
    for folder in (stardist, consep):
        (sample,) = open_dataset(folder)
        np.testing.assert_array_equal(sample.labels(), labels)
