"""GeoJSON as other programs write it: every nucleus once, nothing that is none, and damage by name."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_nucssl.datasets.geojson_labels import read_geojson_labels
from wsi_nucssl.doubts import DoubtWarning
from wsi_nucssl.errors import DatasetError, InputError
from wsi_nucssl.export import json_stream
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.metrics.aggregated_jaccard import aji
from wsi_nucssl.result.reading import read_nuclei

Json = Any
CORNERS = ((10, 10), (50, 20), (80, 60))
RINGS = [[[x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]] for x, y in CORNERS]
TRUTH = np.zeros((100, 120), np.int32)
for number, (x0, y0) in enumerate(CORNERS, 1):
    TRUTH[y0 : y0 + 20, x0 : x0 + 20] = number


def polygon(ring: Json) -> Json:
    return {"type": "Polygon", "coordinates": [ring]}


def feature(geometry: Json, kind: str | None = "detection", **more: Json) -> Json:
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"objectType": kind} if kind else {},
        **more,
    }


def collection(features: list[Json], **more: Json) -> Json:
    return {"type": "FeatureCollection", "features": features, **more}


def grown(ring: Json) -> Json:
    return [[x + (6 if i in (1, 2) else -6), y + (6 if i in (2, 3) else -6)] for i, (x, y) in enumerate(ring)]


WHOLE = {"type": "MultiPolygon", "coordinates": [[ring] for ring in RINGS]}
FRAME = feature(polygon([[0, 0], [120, 0], [120, 100], [0, 100], [0, 0]]), "annotation")
DETECTIONS = [feature(polygon(ring)) for ring in RINGS]
CELLS = [feature(polygon(grown(ring)), "cell", nucleusGeometry=polygon(ring)) for ring in RINGS]
RIGHT: dict[str, Json] = {
    "cellvit_one_multipolygon_per_class": [feature(WHOLE, "annotation")],
    "multipolygon_without_type": collection([feature(WHOLE, None)]),
    "multipolygon_of_detections": [feature(WHOLE)],
    "qupath_cells_with_nucleus": collection(CELLS),
    "qupath_region_first": collection([FRAME, *DETECTIONS]),
    "qupath_region_last": collection([*DETECTIONS, FRAME]),
    "tiles_and_cores": collection(
        [{**FRAME, "properties": {"objectType": k}} for k in ("tile", "tma_core")] + DETECTIONS
    ),
    "old_qupath": [{**FRAME, "id": "PathAnnotationObject", "properties": {}}]
    + [{**each, "id": "PathDetectionObject", "properties": {}} for each in DETECTIONS],
    "annotations_alone": [feature(polygon(ring), "annotation") for ring in RINGS],
    "properties_null": collection(
        [{"type": "Feature", "geometry": polygon(r), "properties": None} for r in RINGS]
    ),
    "classification_null": collection(
        [{"type": "Feature", "geometry": polygon(r), "properties": {"classification": None}} for r in RINGS]
    ),
    "classification_text": collection(
        [
            {"type": "Feature", "geometry": polygon(r), "properties": {"classification": "Tumor"}}
            for r in RINGS
        ]
    ),
    "with_z": collection([feature(polygon([[x, y, 0] for x, y in ring])) for ring in RINGS]),
    "geometry_collection": {"type": "GeometryCollection", "geometries": [polygon(ring) for ring in RINGS]},
    "bare_multipolygon": WHOLE,
    "single_feature": feature(WHOLE, None),
    "members_after": {
        "bbox": [0, 0, 1, 1],
        "features": DETECTIONS,
        "name": '"features":[',
        "type": "FeatureCollection",
    },
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("form", ["plain", "bom", "gz", "indented"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_layout_scores_one(
    tmp_path: Path, name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 37)  # objects cross the borders of what is read at once
    text = json.dumps(RIGHT[name], indent=2 if form == "indented" else None).encode()
    text = {"bom": b"\xef\xbb\xbf" + text, "gz": gzip.compress(text)}.get(form, text)
    path = tmp_path / "a.geojson"
    path.write_bytes(text)
    assert aji(TRUTH, read_geojson_labels(path, TRUTH.shape)) == 1
    assert len(read_nuclei(path)) == 3


@pytest.mark.parametrize("name", RIGHT)
def test_boxes_without_parsing_are_those_of_the_outlines(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(RIGHT[name]))
    nuclei, skimming = NucleiFile(path), NucleiFile(path)
    outlines = [each.rings()[0] for each in nuclei]
    expected = [(*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()) for ring in outlines]
    assert [extent for extent, _ in skimming.extents((-1e9, -1e9, 1e9, 1e9))] == expected
    assert skimming.doubts == nuclei.doubts
    if name != "old_qupath":  # its ids say what they are, and all the same
        first = {extent: feature.get("properties") for extent, feature in skimming.extents((0, 0, 31, 31))}
        assert (10.0, 10.0, 30.0, 30.0) in first
        assert first[10.0, 10.0, 30.0, 30.0] == next(iter(nuclei)).feature.get("properties")


@pytest.mark.parametrize(
    ("geometry", "fault"),
    [
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}, "three finite points"),
        ({"type": "Point", "coordinates": [1, 2]}, "is a Point"),
        ({"type": "LineString", "coordinates": [[1, 2], [3, 4], [5, 5]]}, "is a LineString"),
        ({"type": "Polygon", "coordinates": []}, "without points"),
        (None, "without geometry"),
    ],
)
def test_what_is_no_polygon_is_refused_unparsed_or_not(tmp_path: Path, geometry: Json, fault: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(collection([*DETECTIONS, feature(geometry, coordinates=[[0, 0], [9, 9]])])))
    for _ in range(2):
        with pytest.raises(InputError, match=fault):
            list(NucleiFile(path).extents((-1e9, -1e9, 1e9, 1e9)))
        path.write_text(json.dumps(collection([*DETECTIONS, feature(geometry)])))


def test_holes_in_a_multipolygon_stay_holes(tmp_path: Path) -> None:
    hole = [[15, 15], [20, 15], [20, 20], [15, 20], [15, 15]]
    path = tmp_path / "a.geojson"
    coordinates = [[RINGS[0], hole], [RINGS[1]]]
    path.write_text(json.dumps(feature({"type": "MultiPolygon", "coordinates": coordinates})))
    expected = np.where(TRUTH == 3, 0, TRUTH)
    expected[15:20, 15:20] = 0
    with pytest.warns(UserWarning, match="taken for many nuclei"):
        np.testing.assert_array_equal(read_geojson_labels(path, TRUTH.shape), expected)


def test_micrometres_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(polygon([[x / 4, y / 4] for x, y in ring])) for ring in RINGS]))
    with pytest.raises(DatasetError, match="seem to be in µm"):
        read_geojson_labels(path, TRUTH.shape)


def test_a_region_among_annotations_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([FRAME] + [feature(polygon(ring), "annotation") for ring in RINGS]))
    with pytest.raises(DatasetError, match="region around"):
        read_geojson_labels(path, TRUTH.shape)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(RIGHT["qupath_region_first"]))
    for read in (read_nuclei, lambda path: read_geojson_labels(path, TRUTH.shape)):
        with pytest.warns(DoubtWarning, match=f"{path}: 1 annotations, tiles"):
            read(path)


@pytest.mark.parametrize("after", [False, True])
def test_our_header_is_found_wherever_it_stands(tmp_path: Path, after: bool) -> None:
    ours = {"wsi_nucssl": {"origin_l0": [7, -3]}}
    whole = {**collection(DETECTIONS), **ours} if after else {**ours, **collection(DETECTIONS)}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(whole))
    assert NucleiFile(path).header == ours["wsi_nucssl"]


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.geojson")
    with pytest.raises(InputError, match="no regular file"):
        NucleiFile(tmp_path / "a.geojson")


def test_deep_and_endless_files_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.geojson"
    for text in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000):
        path.write_text(text)
        with pytest.raises(InputError):
            list(NucleiFile(path))
    monkeypatch.setattr(json_stream, "LARGEST_TEXT", 1 << 22)
    path.write_bytes(gzip.compress(b" " * (1 << 24)))
    with pytest.raises(InputError, match="of text"):
        list(NucleiFile(path))


def test_memory_is_that_of_a_nucleus(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text("[" + ",\n".join([json.dumps(DETECTIONS[0])] * 50_000) + "]")
    tracemalloc.start()
    assert sum(1 for _ in NucleiFile(path)) == 50_000
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(RIGHT)))
def test_mutations_never_give_a_traceback(tmp_path: Path, data: st.DataObject, name: str) -> None:
    text = bytearray(json.dumps(RIGHT[name]).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        cut = data.draw(st.integers(0, 8))
        text[at : at + cut] = data.draw(
            st.sampled_from(
                [b"null", b"[]", b"{}", b'"', b"}", b"]", b"1e999", b",", b"\xff", b"\x00", b"-1", b"true"]
            )
        )
    path = tmp_path / "a.geojson"
    path.write_bytes(bytes(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (lambda: read_geojson_labels(path, TRUTH.shape), lambda: read_nuclei(path)):
            try:
                read()
            except InputError as error:
                assert error.path == str(path)  # noqa: PT017 (most mutations are read)
