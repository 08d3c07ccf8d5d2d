"""Which image of a TIFF is the slide, at which resolution; each case beside the same pixels stored simply."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.conftest import ROOT
from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.slide import RGB, Slide, open_slide

UM = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
TILED: dict[str, Any] = {"tile": (128, 128), "photometric": "rgb"}


@pytest.fixture(scope="module")
def scan() -> RGB:
    """384 × 320 px of tissue from the sample slide."""
    with open_slide(ROOT / "sample_slides" / "sample.svs") as slide:
        x, y = slide.dimensions.width // 2 - 192, slide.dimensions.height // 2 - 160
        return slide.read_level(0, Box(x, y, x + 384, y + 320))


def _assert_scan(slide: Slide, scan: RGB, mpp: float | None = 0.25, levels: int = 1) -> None:
    height, width = scan.shape[:2]
    assert np.array_equal(slide.read_level(0, Box(0, 0, width, height)), scan)
    assert slide.mpp == (None if mpp is None else Mpp.square(mpp))
    assert [level.downsample for level in slide.levels] == [2**index for index in range(levels)]
    if levels > 1:
        assert np.array_equal(slide.read_level(1, Box(0, 0, width // 2, height // 2)), scan[::2, ::2])


def _write_stack(path: Path, planes: list[Any], kind: str) -> None:
    """The same pixels as a focus stack of Aperio, OME or ImageJ."""
    if kind == "imagej":
        tifffile.imwrite(path, np.stack(planes), imagej=True, metadata={"axes": "ZYXS"})
    elif kind == "ome":
        with tifffile.TiffWriter(path, ome=True) as tiff:
            tiff.write(np.stack(planes), subifds=1, metadata={"axes": "ZYXS", **UM}, **TILED)
            tiff.write(np.stack([plane[::2, ::2] for plane in planes]), subfiletype=1, **TILED)
    else:
        text = "Aperio Image Library v11.2.1\n384x320 (128x128) RAW|AppMag = 40|MPP = 0.25"
        with tifffile.TiffWriter(path) as tiff:
            for index, plane in enumerate(planes):
                tiff.write(plane, description=text, metadata=None, **TILED)
                if not index:
                    thumbnail: dict[str, Any] = {"photometric": "rgb", "rowsperstrip": 16, "metadata": None}
                    tiff.write(plane[::4, ::4], description=text, **thumbnail)
                tiff.write(plane[::2, ::2], description=text, metadata=None, **TILED)


@pytest.mark.parametrize("kind", ["aperio", "ome", "imagej"])
@pytest.mark.parametrize("sharp", [0, 1, 2])
def test_a_focus_stack_gives_its_sharpest_plane_or_the_one_asked_for(
    tmp_path: Path, scan: RGB, kind: str, sharp: int
) -> None:
    planes: list[Any] = [cv2.GaussianBlur(scan, (0, 0), 1 + 2 * abs(index - sharp)) for index in range(3)]
    planes[sharp] = scan
    levels, mpp = (1, None) if kind == "imagej" else (2, 0.25)
    _write_stack(tmp_path / "stack.tif", planes, kind)
    with open_slide(tmp_path / "stack.tif") as slide:
        _assert_scan(slide, scan, mpp, levels)
        assert (slide.part.planes, slide.part.plane) == (3, sharp)
        assert slide.part.record() == {"focus": sharp}
        assert slide.associated_images == (("thumbnail",) if kind == "aperio" else ())
    for index, plane in enumerate(planes):
        with open_slide(tmp_path / "stack.tif", focus=index) as slide:
            _assert_scan(slide, plane, mpp, levels)
            with pickle.loads(pickle.dumps(slide)) as again:
                assert again.part == slide.part
    with pytest.raises(SlideError, match=r"no focus plane 3.*from 0 to 2"):
        open_slide(tmp_path / "stack.tif", focus=3)
    for reader in ("openslide", "tiffslide"):
        with pytest.raises(SlideError):
            open_slide(tmp_path / "stack.tif", reader=reader)


@pytest.mark.parametrize("how", [{"scene": 1}, {"scene": "scan"}, {"focus": 1}])
@pytest.mark.parametrize("name", ["one.tif", "one.ome.tif", "one.png"])
def test_a_file_of_one_image_has_no_other(tmp_path: Path, scan: RGB, name: str, how: dict[str, Any]) -> None:
    path = tmp_path / name
    imagecodecs.imwrite(path, scan) if name.endswith(".png") else tifffile.imwrite(path, scan, **TILED)
    with pytest.raises(SlideError, match=r"it has no scene|it has no focus plane"):
        open_slide(path, **how)
    with open_slide(path, scene=0, focus=0) as slide:
        assert slide.part.record() == {}


@pytest.mark.parametrize(
    "preview", [{"subfiletype": 1}, {"description": "Macro image"}, {"rowsperstrip": 16}]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_the_scan_goes_before_a_preview(
    tmp_path: Path, scan: RGB, preview: dict[str, Any], is_first: bool
) -> None:
    images: list[tuple[RGB, dict[str, Any]]] = [
        (
            scan[::4, ::4],
            {"photometric": "rgb", **({} if "rowsperstrip" in preview else {"tile": (64, 64)}), **preview},
        ),
        (scan, {**TILED, "resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}),
    ]
    with tifffile.TiffWriter(tmp_path / "two.tif") as tiff:
        for pixels, how in images if is_first else images[::-1]:
            tiff.write(pixels, metadata=None, **how)
    with open_slide(tmp_path / "two.tif") as slide:
        is_pyramid = not is_first and "subfiletype" in preview
        assert [level.downsample for level in slide.levels] == ([1, 4] if is_pyramid else [1])
        assert np.array_equal(slide.read_level(0, Box(0, 0, 384, 320)), scan)


def test_a_mask_of_gdal_is_no_level(tmp_path: Path, scan: RGB) -> None:
    with tifffile.TiffWriter(tmp_path / "gdal.tif") as tiff:
        tiff.write(scan, metadata=None, **TILED)
        tiff.write(np.ones((320, 384), bool), subfiletype=4, metadata=None, tile=(128, 128))
        tiff.write(scan[::2, ::2], subfiletype=1, metadata=None, **TILED)
        tiff.write(np.ones((160, 192), bool), subfiletype=5, metadata=None, tile=(128, 128))
    with open_slide(tmp_path / "gdal.tif") as slide:
        _assert_scan(slide, scan, mpp=None, levels=2)


@pytest.mark.parametrize("reader", ["auto", "tiff", "openslide", "tiffslide", "image"])
def test_several_scenes_are_an_error_that_lists_them(tmp_path: Path, scan: RGB, reader: str) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as tiff:
        tiff.write(scan, metadata=None, **TILED)
        tiff.write(scan[:, :300], metadata=None, **TILED)
    says = r"2 images, scenes or planes.*0: 384 × 320 px.*1: 300 × 320 px.*Choose one with `scene`"
    with pytest.raises(SlideError, match=says):
        open_slide(tmp_path / "two.tif", reader=reader)


def _write_scenes(path: Path, scenes: list[RGB], names: list[str], kind: str) -> None:
    """Scenes of two levels each, their names in OME-XML, in PageName, or none."""
    with tifffile.TiffWriter(path, ome=kind == "ome") as tiff:
        for pixels, name in zip(scenes, names, strict=True):
            metadata = {"axes": "YXS", "Name": name, **UM} if kind == "ome" else None
            tags = [(285, "s", 0, name, False)] if kind == "named" else ()
            how: dict[str, Any] = {**TILED, **({"subifds": 1} if kind == "ome" else {})}
            tiff.write(pixels, metadata=metadata, extratags=tags, **how)
            tiff.write(np.ascontiguousarray(pixels[::2, ::2]), subfiletype=1, metadata=None, **TILED)


@pytest.mark.parametrize("kind", ["ome", "named", "plain"])
def test_a_scene_is_chosen_by_name_or_number(tmp_path: Path, scan: RGB, kind: str) -> None:
    scenes, names = [scan, scan[::-1], scan[:, ::-1]], ["left", "2", "right lung"]
    path = tmp_path / "scenes.tif"
    _write_scenes(path, [np.ascontiguousarray(each) for each in scenes], names, kind)
    for number, pixels in enumerate(scenes):
        asked: list[str | int] = [number, *([] if kind == "plain" else [names[number]])]
        for scene in asked:
            with open_slide(path, scene=scene) as slide:
                _assert_scan(slide, pixels, 0.25 if kind == "ome" else None, levels=2)
                assert (len(slide.part.scenes), slide.part.scene) == (3, number)
                assert slide.part.record()["scene"] == number
                with pickle.loads(pickle.dumps(slide)) as again:
                    assert np.array_equal(again.read_level(0, Box(0, 0, 384, 320)), pixels)
    with pytest.raises(SlideError, match=r"no scene 'middle' \(0: "):
        open_slide(path, scene="middle")
    with pytest.raises(SlideError, match=r"no scene 3"):
        open_slide(path, scene=3)


def test_scenes_of_one_name_are_told_apart_by_number(tmp_path: Path, scan: RGB) -> None:
    _write_scenes(tmp_path / "two.tif", [scan, np.ascontiguousarray(scan[::-1])], ["a", "a"], "ome")
    with pytest.raises(SlideError, match=r"2 of its scenes are called 'a' \(0: a; 1: a\)"):
        open_slide(tmp_path / "two.tif", scene="a")
    with open_slide(tmp_path / "two.tif", scene="1") as slide:
        _assert_scan(slide, scan[::-1], levels=2)


def test_scene_and_focus_are_checked(tmp_path: Path) -> None:
    for how in ({"scene": -1}, {"scene": 1.5}, {"focus": -1}, {"focus": "0"}):
        with pytest.raises(UsageError):
            open_slide(tmp_path / "none", **how)


def test_ome_label_and_macro_are_no_scenes(tmp_path: Path, scan: RGB) -> None:
    with tifffile.TiffWriter(tmp_path / "scan.ome.tif", ome=True) as tiff:
        tiff.write(scan[:64, :64], metadata={"axes": "YXS", "Name": "label image"}, photometric="rgb")
        tiff.write(scan, metadata={"axes": "YXS", "Name": "slide 1", **UM}, **TILED)
        tiff.write(scan[::3, ::3], metadata={"axes": "YXS", "Name": "macro image"}, photometric="rgb")
    with open_slide(tmp_path / "scan.ome.tif") as slide:
        _assert_scan(slide, scan)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_an_ome_pyramid_in_sub_images(tmp_path: Path, scan: RGB, compression: str | None) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif", ome=True) as tiff:
        how = {**TILED, "compression": compression}
        tiff.write(scan, subifds=1, metadata={"axes": "YXS", **UM}, **how)
        tiff.write(scan[::2, ::2], subfiletype=1, **how)
    with open_slide(tmp_path / "pyramid.ome.tif") as slide:
        _assert_scan(slide, scan, levels=2)
        assert slide.mpp_source == "ome.mpp-x"


def test_a_pyramid_in_sub_images_without_ome(tmp_path: Path, scan: RGB) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as tiff:
        tiff.write(scan, subifds=1, metadata=None, **TILED)
        tiff.write(scan[::2, ::2], subfiletype=1, metadata=None, **TILED)
    with open_slide(tmp_path / "pyramid.tif") as slide:
        _assert_scan(slide, scan, mpp=None, levels=2)


def test_ome_planes_of_red_green_and_blue(tmp_path: Path, scan: RGB) -> None:
    planes = np.ascontiguousarray(scan.transpose(2, 0, 1))
    how: dict[str, Any] = {"photometric": "minisblack", "tile": (128, 128), "ome": True}
    tifffile.imwrite(tmp_path / "planes.ome.tif", planes, metadata={"axes": "CYX", **UM}, **how)
    stack = np.stack([planes, planes[:, ::-1]])
    for axes, pixels in (("ZCYX", stack), ("CZYX", stack.swapaxes(0, 1))):
        tifffile.imwrite(tmp_path / f"{axes}.ome.tif", pixels, metadata={"axes": axes, **UM}, **how)
    for name in ("planes", "ZCYX", "CZYX"):
        with open_slide(tmp_path / f"{name}.ome.tif") as slide:
            _assert_scan(slide, scan)


@pytest.mark.parametrize(
    ("count", "kind", "metadata"),
    [
        (3, np.uint8, {"Channel": {"Name": ["DAPI", "FITC", "Cy3"]}}),
        (3, np.uint8, {"Channel": {"EmissionWavelength": [461, 519, 570]}}),
        (3, np.uint16, {}),
        (4, np.uint8, {}),
        (2, np.uint8, {"Channel": {"Name": ["Red", "Green"]}}),
    ],
)
def test_fluorescence_is_refused_by_name(
    tmp_path: Path, scan: RGB, count: int, kind: type, metadata: dict[str, Any]
) -> None:
    planes: Any = np.ascontiguousarray(np.repeat(scan, 2, axis=2)[..., :count].transpose(2, 0, 1)).astype(
        kind
    )
    how: dict[str, Any] = {"photometric": "minisblack", "tile": (128, 128), "ome": True}
    tifffile.imwrite(tmp_path / "planes.ome.tif", planes, metadata={"axes": "CYX", **metadata}, **how)
    with pytest.raises(SlideError, match="fluorescence"):
        open_slide(tmp_path / "planes.ome.tif")


@pytest.mark.parametrize(
    ("size", "unit", "mpp"),
    [
        (250, "nm", 0.25),
        (0.00025, "mm", 0.25),
        (0.25, "µm", 0.25),
        (1, "pixel", None),
        (1, "reference frame", None),
    ],
)
def test_the_physical_size_has_a_unit(
    tmp_path: Path, scan: RGB, size: float, unit: str, mpp: float | None
) -> None:
    sizes = {f"PhysicalSize{axis}": size for axis in "XY"} | {
        f"PhysicalSize{axis}Unit": unit for axis in "XY"
    }
    tifffile.imwrite(tmp_path / "scan.ome.tif", scan, ome=True, metadata={"axes": "YXS", **sizes}, **TILED)
    with open_slide(tmp_path / "scan.ome.tif") as slide:
        assert slide.mpp == (None if mpp is None else Mpp.square(mpp))


@pytest.mark.parametrize(
    ("per_unit", "unit", "mpp"),
    [
        (4.0, "um", 0.25),
        (4.0, "micron", 0.25),
        (4.0, "\\u00B5m", 0.25),
        (4000.0, "mm", 0.25),
        (1.0, "pixel", None),
    ],
)
def test_imagejs_resolution_has_a_unit(
    tmp_path: Path, scan: RGB, per_unit: float, unit: str, mpp: float | None
) -> None:
    tifffile.imwrite(
        tmp_path / "scan.tif", scan, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    with open_slide(tmp_path / "scan.tif") as slide:
        _assert_scan(slide, scan, mpp)


def test_imagejs_stacks(tmp_path: Path, scan: RGB) -> None:
    stack = np.stack([scan, scan[::-1]])
    for axes, pixels in (("CYX", scan.transpose(2, 0, 1)), ("TYXS", stack)):
        tifffile.imwrite(
            tmp_path / f"{axes}.tif", np.ascontiguousarray(pixels), imagej=True, metadata={"axes": axes}
        )
        with pytest.raises(SlideError, match="ImageJ stack of"):
            open_slide(tmp_path / f"{axes}.tif")


def test_damaged_ome_xml_is_an_error(tmp_path: Path, scan: RGB) -> None:
    tifffile.imwrite(tmp_path / "scan.ome.tif", scan, ome=True, metadata={"axes": "YXS"}, **TILED)
    data = (tmp_path / "scan.ome.tif").read_bytes()
    (tmp_path / "bad.ome.tif").write_bytes(data.replace(b"<Image ", b"<Image<", 1))
    with pytest.raises(SlideError):
        open_slide(tmp_path / "bad.ome.tif")


@pytest.mark.parametrize("reader", ["tiff", "tiffslide", "image"])
def test_no_reader_hands_over_raw_samples(tmp_path: Path, scan: RGB, reader: str) -> None:
    """Ink, which no reader may take for RGB."""
    inks = np.dstack([255 - scan, np.zeros(scan.shape[:2], np.uint8)])
    tifffile.imwrite(tmp_path / "inks.tif", inks, photometric="separated", tile=(128, 128), metadata=None)
    if reader == "tiffslide":
        with pytest.raises(SlideError, match="photometric SEPARATED, 8 bits, 4 samples, compression NONE"):
            open_slide(tmp_path / "inks.tif", reader=reader)
        return
    with open_slide(tmp_path / "inks.tif", reader=reader) as slide:
        _assert_scan(slide, scan, None)
