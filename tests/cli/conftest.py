"""The command line in this process, and the slides that people give it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.commands import SAMPLE, Ended
from tests.segment import fakes
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.geometry import Box
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl_cli import app


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """Run `wsi-nucssl` with these arguments, the engine double in place of a network. What is no exit is a bug."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*argv: object, engine: Engine | None = None) -> Ended:
        monkeypatch.setattr(sys, "argv", ["wsi-nucssl", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            app.main(Steps(open_engine=lambda *_: engine or fakes.DarkIsNucleus()))
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int) or code is None
        assert "Traceback" not in said.err
        return Ended(code or 0, said.out, said.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with a random network."""
    path = tmp_path_factory.mktemp("weights") / "double.safetensors"
    info = fakes.model().info
    save_model(path, build(info.arch), info, "int8")
    return path


@pytest.fixture(scope="session")
def pixels() -> RGB:
    """600 × 500 px of tissue."""
    with open_slide(SAMPLE) as slide:
        return slide.read_level(0, Box(1000, 1000, 1600, 1500))


@pytest.fixture(scope="session")
def slide(pixels: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small slide that states its resolution."""
    return fakes.write_slide(tmp_path_factory.mktemp("slides") / "tissue.tif", pixels)


@pytest.fixture(scope="session")
def png(pixels: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a plain image of unknown resolution."""
    path = tmp_path_factory.mktemp("images") / "tissue.png"
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


@pytest.fixture(scope="session")
def glass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide with nothing on it."""
    noise = np.random.default_rng(0).integers(238, 246, (400, 500, 1), np.uint8)
    return fakes.write_slide(tmp_path_factory.mktemp("slides") / "glass.tif", noise.repeat(3, axis=2))


def _missing(path: Path) -> None:
    """Nothing at all."""


def _text(path: Path) -> None:
    path.write_text("Dear colleague, please find attached\n" * 50)


def _empty(path: Path) -> None:
    path.touch()


def _truncated(path: Path) -> None:
    path.write_bytes(SAMPLE.read_bytes()[:100_000])


def _damaged(path: Path) -> None:
    raw = bytearray(SAMPLE.read_bytes())
    raw[200_000:600_000] = bytes(400_000)
    path.write_bytes(raw)


@pytest.fixture(params=[_missing, Path.mkdir, _text, _empty, _truncated, _damaged])
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that ends in .svs and is no slide."""
    path = tmp_path / "bad.svs"
    request.param(path)
    return path
