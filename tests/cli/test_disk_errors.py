"""What a disk says in the midst of any command that writes: exit code 5 or 6, a remedy, and nothing partial."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Ended
from tests.train.tiny import write_dataset

ERRORS = {
    errno.ENOSPC: (6, "Free some space"),
    errno.EDQUOT: (6, "Free some space"),
    errno.EIO: (5, "Check the disk"),
    errno.EROFS: (5, "Choose another output"),
    errno.EACCES: (5, "Choose another output"),
    errno.ENOENT: (5, "The folder is gone"),
}
COMMANDS = {
    "info": "info SLIDE --thumbnail OUT/thumbnail.png",
    "overlay": "overlay SLIDE NUCLEI -o OUT/overlay.png",
    "view": "view SLIDE --export OUT/page",
    "segment": "segment SLIDE --model WEIGHTS -o OUT/nuclei.geojson",
    "segment --write-tissue": "segment SLIDE --model WEIGHTS -o OUT/a.csv --write-tissue OUT/tissue.geojson",
    "tile": "tile SLIDE --tile-size 128 -o OUT",
    "pack": "pack WEIGHTS -o OUT/packed.safetensors",
    "benchmark": "benchmark DATASET --predictions LABELS --no-overlays -o OUT",
    "pretrain": "pretrain SLIDE -o OUT/run --steps 1",
    "finetune": "finetune DATASET -o OUT/run --epochs 1",
}


class Disk:
    """Fails a step below a folder, the `number`-th "open" to write, "os.rename" or "fsync"; ENOENT removes it."""

    def __init__(self) -> None:
        self.below, self.step, self.number, self.code, self.failed = "", "", 0, 0, False

    def set(self, below: Path, step: str, number: int, code: int) -> None:
        self.below, self.step, self.number, self.code, self.failed = str(below), step, number, code, False

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == self.step and self.below:
            place, how, flags = (*arguments, None, None)[:3]
            if event == "open" and not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
                return
            if event == "os.rename":
                place = how
            if isinstance(place, str | bytes | os.PathLike) and not (
                event == "open" and Path(os.fsdecode(place)).is_dir()
            ):
                self.fail(os.fsdecode(place))  # a lock tries its folder first, and does without

    def fail(self, place: str) -> None:
        if not place.startswith(self.below):
            return
        self.number -= 1
        if self.number == 0:
            self.failed = True
            if self.code == errno.ENOENT:
                shutil.rmtree(self.below)
            raise OSError(self.code, os.strerror(self.code), place)


DISK = Disk()
sys.addaudithook(lambda event, arguments: DISK.hook(event, arguments))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk that fails; without a step it is sound again."""
    fsync = os.fsync

    def sync(handle: int) -> None:
        if DISK.step == "fsync" and DISK.below:
            DISK.fail(DISK.below)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    yield DISK
    DISK.set(Path(), "", 0, 0)
    DISK.below = ""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, slide: Path, weights: Path) -> dict[str, Path]:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("read")
    nuclei = folder / "nuclei.geojson"
    nuclei.write_text('{"type":"FeatureCollection","features":[]}')
    dataset = write_dataset(folder / "dataset")
    return {
        "SLIDE": slide, "NUCLEI": nuclei, "WEIGHTS": weights, "DATASET": dataset, "LABELS": dataset / "labels",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="errors of POSIX")
@pytest.mark.parametrize(
    ("step", "code"),
    [("open", code) for code in ERRORS]
    + [(step, code) for step in ("os.rename", "fsync") for code in (errno.ENOSPC, errno.EIO)],
    ids=str,
)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_disk_says_is_an_error_with_a_remedy(
    cli: Callable[..., Ended],
    disk: Disk,
    places: dict[str, Path],
    tmp_path: Path,
    command: str,
    step: str,
    code: int,
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    here = {name: str(path) for name, path in places.items()}
    words = [here.get(word, word.replace("OUT", str(output))) for word in COMMANDS[command].split()]
    disk.set(output, step, 1, code)
    ended = cli(*words)
    assert disk.failed
    exit_code, remedy = ERRORS[code]
    said = " ".join(ended.err.split())
    assert (ended.code, remedy in said) == (exit_code, True), said
    assert str(output.name) in said
    left = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()]
    names = [word.rpartition("/")[2] for word in words if word.startswith(str(output) + "/")]
    assert not [name for name in left if name in names or name.endswith((".partial", ".aside"))], left
