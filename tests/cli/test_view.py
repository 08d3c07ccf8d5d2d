"""`wsi-nucssl view` as a person types it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.viewer.making import write_nuclei, write_slide

COMMAND = [sys.executable, "-m", "wsi_nucssl_cli", "view"]


def test_it_prints_its_address_serves_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    path = write_nuclei(tmp_path / "n.geojson", slide, [(10, 10, 30)])
    command = [*COMMAND, str(slide), str(path), "--no-browser", "--mpp", "0.5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/", url)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"openseadragon" in answer.read()
    finally:
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "error" not in said


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120)


def test_it_writes_a_folder_once(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    files = [write_nuclei(tmp_path / f"{name}.geojson", slide, [(10, 10, 30)]) for name in "ab"]
    words = [slide, files[0], "--compare", files[1], "--export", tmp_path / "page"]
    done = _run(*words)
    assert done.returncode == 0, done.stderr
    assert "python -m http.server -d" in done.stdout
    assert (tmp_path / "page" / "nuclei" / "matches" / "first.bin").read_bytes() == b"\x01"
    again = _run(*words)
    assert again.returncode == 5
    assert "--overwrite" in again.stderr
    assert _run(*words, "--overwrite").returncode == 0


def test_refusals_name_flags(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    other = write_nuclei(tmp_path / "n.geojson", slide, [(10, 10, 30)], slide_id="0" * 64)
    refused = _run(slide, other, "--no-browser")
    assert refused.returncode == 4
    assert "--anyway" in refused.stderr
    assert _run(slide, tmp_path / "absent.geojson", "--no-browser").returncode == 4
    lone = _run(slide, "--compare", other, "--no-browser")
    assert lone.returncode == 2
    assert "--compare" in lone.stderr
