"""Whose word on the resolution counts, and what is no resolution."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import factory
from wsi_nucssl.datasets import DEFAULT_MPP, describe_mpp, monuseg_2018, open_dataset
from wsi_nucssl.datasets.aperio_xml import read_xml_mpp
from wsi_nucssl.errors import DatasetError, UsageError

SQUARE = [(1, 1), (4, 1), (4, 4), (1, 4)]


def write_official(root: Path, **mpps: str | None) -> Path:
    """MoNuSeg's layout: Tissue Images/ and Annotations/."""
    for name, mpp in mpps.items():
        factory.write_tiff(root / "Tissue Images" / f"{name}.tif", factory.image())
        factory.write_xml(root / "Annotations" / f"{name}.xml", SQUARE, mpp=mpp)
    return root


def write_manifest(root: Path, **mpps: object) -> None:
    (root / "manifest.json").write_text(
        json.dumps({name: {"nuclei": 3, "mpp": mpp} for name, mpp in mpps.items()})
    )


def stated(root: Path, mpp: float | None = None) -> dict[str, tuple[float | None, str]]:
    return {sample.id: (sample.mpp, sample.mpp_source) for sample in open_dataset(root, mpp=mpp)}


def test_the_annotation_says_it(tmp_path: Path) -> None:
    write_official(tmp_path / "official", a="0.252000", b="0.5040")
    assert stated(tmp_path / "official") == {"a": (0.252, "Aperio XML"), "b": (0.504, "Aperio XML")}
    factory.write_tiff(tmp_path / "beside" / "a.tif", factory.image())
    factory.write_xml(tmp_path / "beside" / "a.xml", SQUARE, mpp="0.2525")
    assert stated(tmp_path / "beside") == {"a": (0.2525, "Aperio XML")}


@pytest.mark.parametrize("folder", ["annotations", "Annotations"])
def test_an_annotation_beside_labels_of_another_kind_says_it(tmp_path: Path, folder: str) -> None:
    factory.write_folders(tmp_path, "a", "b", "c")
    factory.write_xml(tmp_path / folder / "a.xml", SQUARE, mpp="0.5")
    (tmp_path / folder / "b.xml.gz").write_bytes(gzip.compress(b'<Annotations MicronsPerPixel="0.25">'))
    (tmp_path / folder / "c.xml").write_text("<annotation><object/></annotation>")
    (tmp_path / folder / "._a.xml").write_bytes(b"\0")
    assert stated(tmp_path) == {"a": (0.5, "Aperio XML"), "b": (0.25, "Aperio XML"), "c": (None, "")}


def test_the_order_of_trust(tmp_path: Path) -> None:
    write_official(tmp_path, a="0.25", b=None, c="", d=None)
    write_manifest(tmp_path, a=0.5, b=0.5, c=None)
    assert stated(tmp_path) == {
        "a": (0.25, "Aperio XML"),
        "b": (0.5, "manifest.json"),
        "c": (None, ""),
        "d": (None, ""),
    }
    notes = open_dataset(tmp_path).notes
    assert notes[0] == "a: 0.5 µm per px (manifest.json) is overruled by 0.25 µm per px (Aperio XML)"
    assert "2 images of unknown mpp" in notes[1]


def test_what_is_given_fills_in_and_never_overrides(tmp_path: Path) -> None:
    write_official(tmp_path, a="0.502", b=None)
    assert stated(tmp_path, mpp=0.5) == {"a": (0.502, "Aperio XML"), "b": (0.5, "given")}
    with pytest.raises(
        DatasetError, match=r"a has 0\.502 µm per px \(Aperio XML\), given were 0\.25"
    ) as caught:
        open_dataset(tmp_path, mpp=0.25)
    assert str(caught.value.path).endswith("a.xml")
    write_manifest(tmp_path, b=0.25)
    with pytest.raises(
        DatasetError, match=r"b has 0\.25 µm per px \(manifest\.json\), given were 0\.5"
    ) as caught:
        open_dataset(tmp_path, mpp=0.5)
    assert str(caught.value.path).endswith("manifest.json")


def test_other_layouts_take_what_is_given_too(tmp_path: Path) -> None:
    fold = tmp_path / "fold1"
    fold.mkdir()
    np.save(fold / "images.npy", factory.image()[None].astype(np.float64))
    np.save(fold / "masks.npy", np.zeros((1, *factory.SHAPE, 6)))
    assert stated(tmp_path) == {"fold1-00000": (None, "")}
    assert stated(tmp_path, mpp=0.25) == {"fold1-00000": (0.25, "given")}


@pytest.mark.parametrize("mpp", ["0", "0.049", "4.01", "-1", "nan", "inf", "1e999"])
def test_a_stated_mpp_that_is_none_is_refused_by_name(tmp_path: Path, mpp: str) -> None:
    write_official(tmp_path / "xml", a=mpp)
    with pytest.raises(DatasetError, match=r"the mpp of a reads .* outside 0\.05 … 4"):
        open_dataset(tmp_path / "xml")
    write_official(tmp_path / "manifest", b=None)
    write_manifest(tmp_path / "manifest", b=float(mpp))
    with pytest.raises(DatasetError, match="the mpp of b reads") as caught:
        open_dataset(tmp_path / "manifest")
    assert str(caught.value.path).endswith("manifest.json")
    with pytest.raises(UsageError, match=r"outside 0\.05 … 4"):
        open_dataset(tmp_path / "manifest", mpp=float(mpp))


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ('{"a": {"mpp": "fine"}}', "the mpp of a is 'fine', not a number"),
        ('{"a": {"mpp": true}}', "the mpp of a is True, not a number"),
        ('{"a": {"mpp": ' + "1" * 400 + "}}", "the mpp of a reads inf"),
        ('{"a": ', "not readable as JSON"),
        ("[" * 200_000, "not readable as JSON"),
    ],
)
def test_a_broken_manifest(tmp_path: Path, manifest: str, says: str) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(DatasetError, match=says) as caught:
        open_dataset(tmp_path)
    assert str(caught.value.path).endswith("manifest.json")


@pytest.mark.parametrize("manifest", ["[1, 2]", '{"files": 3, "a": {"sha256": "0"}, "z": {"mpp": 0.5}}'])
def test_a_manifest_of_another_make_says_nothing(tmp_path: Path, manifest: str) -> None:
    factory.write_folders(tmp_path, "a")
    (tmp_path / "manifest.json").write_text(manifest)
    assert stated(tmp_path) == {"a": (None, "")}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'<Annotations MicronsPerPixel="a">', "MicronsPerPixel is 'a', not a number"),
        (b"<Annotations MicronsPerPixel=0.25>", "broken XML"),
        (b"<?xml version='1.0' encoding='foo'?><Annotations/>", "broken XML"),
        (b'<!DOCTYPE a [<!ENTITY x "xxxx">]>\n<Annotations MicronsPerPixel="0.25"/>', "broken XML.*Entit"),
    ],
)
def test_a_broken_head_of_an_annotation(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=says):
        read_xml_mpp(file)


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(bytes(9000), mtime=0)[:20], b"\x1f\x8b\x08" + b"\xff" * 40],
    ids=["no gzip", "cut", "nonsense"],
)
def test_a_broken_gzip_file(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.xml.gz"
    file.write_bytes(data)
    with pytest.raises(DatasetError, match="not a readable gzip file"):
        read_xml_mpp(file)


def test_only_the_head_of_an_annotation_is_read(tmp_path: Path) -> None:
    """What follows the root's tag may be anything; a root that comes late is not waited for."""
    file = tmp_path / "a.xml"
    file.write_bytes(b'<Annotations MicronsPerPixel="0.25">' + b"<<<" * 100_000)
    assert read_xml_mpp(file) == 0.25
    file.write_bytes(b" " * 100_000 + b'<Annotations MicronsPerPixel="0.25"/>')
    assert read_xml_mpp(file) is None
    file.write_bytes(b"")
    assert read_xml_mpp(file) is None


def test_no_pixel_is_read(tmp_path: Path) -> None:
    write_official(tmp_path, a="0.25")
    (tmp_path / "Tissue Images" / "a.tif").write_bytes(b"damaged")
    assert stated(tmp_path) == {"a": (0.25, "Aperio XML")}


def test_a_note_says_where_images_differ(tmp_path: Path) -> None:
    write_official(tmp_path, a="0.25", b="0.252", c="0.25")
    assert open_dataset(tmp_path).notes == ()
    assert describe_mpp(open_dataset(tmp_path)) == (
        "2 images at 0.25 µm/px (Aperio XML), 1 image at 0.252 µm/px (Aperio XML)"
    )
    write_official(tmp_path, d="0.5")
    assert open_dataset(tmp_path).notes == (
        "The images differ in resolution: 2 images at 0.25 µm/px (Aperio XML), "
        "1 image at 0.252 µm/px (Aperio XML), 1 image at 0.5 µm/px (Aperio XML)",
    )


def test_the_real_images(monuseg: Path, tnbc: Path, gbm40: Path) -> None:
    dataset = open_dataset(monuseg)
    coarse = {sample.id[5:12] for sample in dataset if sample.mpp == 0.5}
    assert coarse == {"HE-7128", "HE-7129", "HE-7130"}
    assert dataset["TCGA-CH-5767-01Z-00-DX1"].mpp_source == "Aperio XML"
    assert dataset["TCGA-HE-7128-01Z-00-DX1"].mpp_source == "manifest.json"
    assert monuseg_2018(dataset).notes == dataset.notes != ()
    with pytest.raises(DatasetError, match=r"TCGA-HE-7128.* has 0\.5 µm per px .*given were 0\.25"):
        open_dataset(monuseg, mpp=DEFAULT_MPP)
    for folder, count in ((tnbc, 30), (gbm40, 40)):
        assert describe_mpp(open_dataset(folder)) == f"{count} images of unknown mpp"
        assert {sample.mpp_source for sample in open_dataset(folder, mpp=0.25)} == {"given"}
