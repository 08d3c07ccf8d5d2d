"""DICOM annotations: as highdicom reads them they are the GeoJSON's nuclei on the slide's finest image."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from tests.export.dicom_slide import SERIES, STUDY, instance_uid, write_dicom_slide
from tests.export.test_exporters import TYPES, with_types
from tests.export.test_stored import STORED, TYPED
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.dicom_source import check_slide
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.stored import read_stored
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.slide.finding import slides_in
from wsi_nucssl.testing.exporters import make_nuclei

hd: Any = pytest.importorskip("highdicom", reason="DICOM annotations need highdicom")


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coarser level's file, as a person may name any of a series."""
    image = np.zeros((100, 90, 3), np.uint8)
    return write_dicom_slide(tmp_path_factory.mktemp("dicom"), image, 0.25)


def write(folder: Path, nuclei: list[Nuclei], context: ExportContext) -> tuple[Path, Path]:
    paths = folder / "n.ann.dcm", folder / "n.geojson"
    export({path: EXPORTERS.get(path.name.removeprefix("n.")) for path in paths}, nuclei, context)
    return paths


def features(path: Path) -> list[Any]:
    found: list[Any] = json.loads(path.read_text())["features"]
    return found


def ringed() -> Nuclei:
    """A square with two holes, and a square; float32 holds their places."""
    rings = [
        [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]],
        [[2, 2], [2, 6], [6, 6], [6, 2], [2, 2]],
        [[10, 10], [10, 16], [16, 16], [16, 10], [10, 10]],
        [[30, 0], [36, 0], [36, 8], [30, 8], [30, 0]],
    ]
    return Nuclei(
        np.array([[0, 0], [30, 0]]),
        np.array([vertex for ring in rings for vertex in ring], np.int32),
        np.array([0, 5, 10, 15, 20]),
        np.array([0, 3, 4]),
        np.full((2, len(MEASUREMENTS)), 0.5, np.float32),
        np.array([False, True]),
    )


def test_polygons_and_measurements_are_those_of_the_geojson(slide: Path, tmp_path: Path) -> None:
    path, geojson = write(tmp_path, [make_nuclei()], replace(STORED, slide=slide))
    (group,) = hd.ann.annread(path).AnnotationGroupSequence
    expected = features(geojson)
    origin = np.array(STORED.header["origin_l0"])
    assert group.label == "Nucleus"
    assert group.graphic_type == hd.ann.GraphicTypeValues.POLYGON
    for points, feature in zip(group.get_graphic_data("2D"), expected, strict=True):
        assert points.dtype == np.float32
        ring = np.array(feature["geometry"]["coordinates"][0]) + origin
        np.testing.assert_array_equal(points, ring[:-1])
    names, values, units = group.get_measurements()
    assert [name.meaning for name in names][:2] == ["Area", "Perimeter"]
    assert [unit.value for unit in units] == ["um2", "um", "1", "um", "um", "1", "1", "1", "1"]
    measured = [[*feature["properties"]["measurements"].values()][:9] for feature in expected]
    np.testing.assert_array_equal(values, np.array(measured, np.float32))


def test_it_refers_to_the_finest_image_of_the_series(slide: Path, tmp_path: Path) -> None:
    found = hd.ann.annread(write(tmp_path, [make_nuclei()], replace(STORED, slide=slide))[0])
    (image,) = found.ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == instance_uid(0)
    assert slide.name == "level1.dcm"
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    assert (found.StudyInstanceUID, str(found.PatientName), found.Modality) == (STUDY, "Made^Up", "ANN")
    assert (found.AnnotationCoordinateType, found.PixelOriginInterpretation) == ("2D", "VOLUME")


def test_each_type_is_a_group_in_its_colour(slide: Path, tmp_path: Path) -> None:
    nuclei = replace(with_types(make_nuclei()), type_id=np.array([1, -1, 0], np.int16))
    context = replace(TYPED, types=TYPES, slide=slide)
    path, geojson = write(tmp_path, [nuclei.take(np.arange(i, i + 1)) for i in range(3)], context)
    groups = [*hd.ann.annread(path).AnnotationGroupSequence]
    assert [group.label for group in groups] == ['round, "small"', "long", "Nucleus"]
    assert [group.number for group in groups] == [1, 2, 3]
    colours = [[*hd.color.CIELabColor.from_rgb(*look.color).value] for look in TYPES[:2]]
    assert [[*group.RecommendedDisplayCIELabValue] for group in groups[:2]] == colours
    stored, tables = read_stored(path)
    export({tmp_path / "again.geojson": EXPORTERS.get("geojson")}, tables, stored)
    assert (tmp_path / "again.geojson").read_bytes() == geojson.read_bytes()


@pytest.mark.parametrize("count", [0, 2])
def test_nothing_is_lost_on_the_way_back(slide: Path, tmp_path: Path, count: int) -> None:
    """Holes, truncated nuclei, ids and the header come back; so does a result without nuclei."""
    path, geojson = write(tmp_path, [ringed().take(np.arange(count))], replace(STORED, slide=slide))
    stored, tables = read_stored(path)
    assert export({tmp_path / "again.geojson": EXPORTERS.get("geojson")}, tables, stored) == count
    assert (tmp_path / "again.geojson").read_bytes() == geojson.read_bytes()
    if count:
        shapes = [shapely.geometry.shape(each["geometry"]) for each in features(tmp_path / "again.geojson")]
        assert [len(shape.interiors) for shape in shapes] == [2, 0]


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_rows_keep_their_order_among_groups(slide: Path, tmp_path: Path, order: list[int]) -> None:
    nuclei = with_types(make_nuclei()).take(np.array([*order, 2]))
    path, geojson = write(tmp_path, [nuclei], replace(TYPED, types=TYPES, slide=slide))
    stored, tables = read_stored(path)
    ids = [stored.ids(table)[row].tobytes().hex() for table in tables for row in range(len(table))]
    assert ids == [each["id"].replace("-", "") for each in features(geojson)]


def test_one_result_has_one_file_and_another_has_other_uids(slide: Path, tmp_path: Path) -> None:
    context = replace(STORED, slide=slide)
    uids = set()
    for number, tables in enumerate(
        ([make_nuclei()], [*make_nuclei().slices(1)], [make_nuclei().take(np.arange(2))])
    ):
        (tmp_path / str(number)).mkdir()
        path, _ = write(tmp_path / str(number), tables, context)
        uids.add(hd.ann.annread(path).SOPInstanceUID)
    first, second = ((tmp_path / name / "n.ann.dcm").read_bytes() for name in "01")
    assert first == second
    assert len(uids) == 2


def test_slides_of_other_formats_are_refused_by_name(slide: Path, tmp_path: Path) -> None:
    other = tmp_path / "slide.tif"
    other.write_bytes(b"II*\0" + bytes(200))
    for wrong in (other, tmp_path / "none.dcm", tmp_path):
        with pytest.raises(UsageError, match=f"{wrong.name}.* is none"):
            check_slide(wrong)
    with pytest.raises(UsageError, match=r"no slide is given\. Give `slide`"):
        check_slide(None)
    with pytest.raises(UsageError, match="no slide is given"):
        export({tmp_path / "n.ann.dcm": EXPORTERS.get("ann.dcm")}, [], STORED)
    check_slide(slide)
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(slide.read_bytes()[:200])
    with pytest.raises(InputError, match=r"damaged\.dcm: it is no DICOM slide"):
        export({tmp_path / "n.ann.dcm": EXPORTERS.get("ann.dcm")}, [], replace(STORED, slide=damaged))
    assert not (tmp_path / "n.ann.dcm").exists()


def test_annotations_are_no_slides(slide: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 90, 3), np.uint8)
    write_dicom_slide(tmp_path, image, 0.25)
    write(tmp_path, [make_nuclei()], replace(STORED, slide=slide))
    found = slides_in(tmp_path)
    assert [path.name for path in found.slides] == ["level0.dcm"]
    assert found.left_out["annotations of images"] == 1


def _edit(change: Callable[[Any], object]) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        found = hd.ann.annread(path)
        change(found)
        found.save_as(path)

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:1500]),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        _edit(lambda found: found.private_block(0x99, "WSI-NUCSSL").__delitem__(1)),
        _edit(
            lambda found: found.AnnotationGroupSequence[0].private_block(0x99, "WSI-NUCSSL").__delitem__(2)
        ),
        _edit(lambda found: setattr(found.AnnotationGroupSequence[0], "NumberOfAnnotations", 2)),
        _edit(lambda found: delattr(found.AnnotationGroupSequence[0], "PointCoordinatesData")),
        lambda path: path.unlink(),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_annotations_that_are_not_ours_or_not_whole_are_named(
    slide: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path, _ = write(tmp_path, [make_nuclei()], replace(STORED, slide=slide))
    damage(path)
    with pytest.raises(InputError, match=r"n\.ann\.dcm"):
        [*read_stored(path)[1]]


def test_a_missing_package_is_named() -> None:
    code = (
        "import sys; sys.modules['highdicom'] = None\n"
        "from wsi_nucssl.errors import UsageError\n"
        "from wsi_nucssl.export.registry import EXPORTERS\n"
        "try: EXPORTERS.get('ann.dcm')\n"
        "except UsageError as error: print(error.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Install them: pip install 'wsi-nucssl[dicom]'"
