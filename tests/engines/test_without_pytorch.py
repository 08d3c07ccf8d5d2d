"""On a CPU, `segment` and `benchmark` import no PyTorch, nothing that only training needs, no reports of usage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.tiny import write_dataset

SAMPLE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"
HEAVY = ["accelerate", "matplotlib", "openvino_telemetry", "skimage", "tensorboard", "torch", "torchvision"]
CODE = """
import sys
from wsi_nucssl_cli import app
sys.argv = ["wsi-nucssl", *sys.argv[1:]]
try:
    app.main()
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({%r} & {*sys.modules}))
""".replace("{%r}", "{" + ", ".join(map(repr, HEAVY)) + "}")


def imported(*argv: object, code: str = CODE) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()[-1].split()


def test_segment(tmp_path: Path) -> None:
    assert imported("segment", SAMPLE, "-o", tmp_path / "out.geojson", "-q", "--device", "cpu") == []
    assert (tmp_path / "out.geojson").stat().st_size > 100_000


def test_segmenting_a_slide_from_python_imports_no_tables(tmp_path: Path) -> None:
    """Those are for results in memory."""
    code = """
import sys
import wsi_nucssl as wn
wn.segment_slide(sys.argv[1], sys.argv[2], device="cpu")
print(*sorted({"pandas", "shapely", "torch"} & {*sys.modules}))
"""
    assert imported(SAMPLE, tmp_path / "out.geojson", code=code) == []


@pytest.mark.parametrize("more", [[], ["--oracle", "--no-overlays"]])
def test_benchmark(tmp_path: Path, more: list[str]) -> None:
    dataset = write_dataset(tmp_path / "data", 2)
    assert imported("benchmark", dataset, "-o", tmp_path / "out", "-q", "--device", "cpu", *more) == []
    assert (tmp_path / "out" / "results.json").exists()
