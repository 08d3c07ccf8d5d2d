"""The scripts for QuPath, run by Groovy where there is one, against a stand-in for what they call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets import factory, geojson
from tests.datasets.geojson import feature
from wsi_nucssl.datasets import open_dataset

GROOVY = shutil.which("groovy")
JAVA = shutil.which("java")
pytestmark = pytest.mark.skipif(
    GROOVY is None or JAVA is None,
    reason="no groovy and java on the PATH (Debian's groovy, default-jre-headless)",
)
SCRIPTS = Path(__file__).parents[2] / "docs" / "qupath"
STAND_IN = Path(__file__).with_name("qupath_stand_in.groovy")
ONE, TWO = (3.0, 4.0, 11.0, 9.0), (20.0, 21.0, 29.0, 33.0)
PROPOSAL: dict[str, Any] = {"wsi_nucssl": {"kind": "proposal", "model": "m"}}


def run(script: str, image: str, *view: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script on an image with these objects in view."""
    objects = geojson.write(folder / "view" / "objects.json", view)
    command = [str(GROOVY), str(STAND_IN), str(SCRIPTS / script), image, str(objects)]
    home = Path(str(JAVA)).resolve().parents[1]  # Debian's groovy looks for one java of several
    environment = {"JAVA_HOME": str(home), **os.environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "tiles" / "a tile.v2.png"
    factory.write_png(path, np.full((40, 40, 3), 200, np.uint8))
    return path


def test_a_corrected_tile_trains_once_it_is_exported(image: Path, tmp_path: Path) -> None:
    outlines = geojson.write(image.with_suffix(".geojson"), [feature(ONE, name="Nucleus")], **PROPOSAL)
    seen = run("import_outlines.groovy", image.as_uri(), folder=tmp_path)
    assert (seen.returncode, seen.stdout) == (0, f"a tile.v2.png: 1 objects from {outlines}\n"), seen.stderr

    corrected = [feature(TWO, name="Nucleus"), feature((0, 0, 40, 40), "tile"), feature(ONE, name="Nucleus")]
    written = run("export_outlines.groovy", f"{image.as_uri()}?name=x#y", *corrected, folder=tmp_path)
    assert written.returncode == 0, written.stderr
    assert written.stdout == f"a tile.v2.png: 2 nuclei, 0 regions to {outlines}\n"
    assert {path.name for path in image.parent.iterdir()} == {image.name, outlines.name}
    (sample,) = open_dataset(image.parent)
    expected = np.zeros((40, 40), np.int32)
    expected[21:33, 20:29], expected[4:9, 3:11] = 1, 2
    np.testing.assert_array_equal(sample.labels(), expected)


def test_regions_are_exported_and_mixed_kinds_are_said(image: Path, tmp_path: Path) -> None:
    view = [feature((1, 2, 38, 36), name="Region*"), feature(ONE, "detection"), feature(TWO, name="Nucleus")]
    written = run("export_outlines.groovy", image.as_uri(), *view, folder=tmp_path)
    assert written.returncode == 0, written.stderr
    assert "has 1 detections, so that its 1 other annotations will not count" in written.stdout
    assert "2 nuclei, 1 regions" in written.stdout
    (sample,) = open_dataset(image.parent)
    assert sample.id == "a tile.v2-x1-y2"


@pytest.mark.parametrize("script", ["import_outlines.groovy", "export_outlines.groovy"])
def test_an_image_that_is_no_file_is_said(script: str, tmp_path: Path) -> None:
    seen = run(script, "https://example.org/a.svs", folder=tmp_path)
    assert seen.returncode != 0
    assert "The image is no file on this computer" in seen.stderr


def test_nothing_is_imported_twice_or_out_of_nowhere(image: Path, tmp_path: Path) -> None:
    missing = run("import_outlines.groovy", image.as_uri(), folder=tmp_path)
    assert missing.returncode != 0
    assert "a tile.v2.geojson is not there" in missing.stderr
    geojson.write(image.with_suffix(".geojson"), [feature(ONE)])
    again = run("import_outlines.groovy", image.as_uri(), feature(TWO), folder=tmp_path)
    assert (again.returncode, again.stdout) == (
        0,
        "a tile.v2.png: has 1 objects already and is left as it is\n",
    )


def test_a_result_is_not_written_over(image: Path, tmp_path: Path) -> None:
    result = geojson.write(image.with_suffix(".geojson"), [feature(ONE)], wsi_nucssl={"version": "1"})
    before = result.read_bytes()
    seen = run("export_outlines.groovy", image.as_uri(), feature(TWO), folder=tmp_path)
    assert seen.returncode != 0
    assert "is a result of segment" in seen.stderr
    assert result.read_bytes() == before
    assert "features" in json.loads(before)
