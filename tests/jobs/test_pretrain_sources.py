"""What `pretrain` is given: a list on standard input stands where `-` does."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from wsi_nucssl.errors import UsageError
from wsi_nucssl.jobs.pretraining import pretrain_job
from wsi_nucssl.locations import Location
from wsi_nucssl.slide.part import PartChoice


def _sources(*given: str) -> tuple[Location, ...]:
    job = pretrain_job(
        given,
        task="triplet-rank",
        arch="efficientnet-lite0",
        recipe=None,
        steps=None,
        batch_size=None,
        deshortcut=False,
        mpp=None,
        slide_mpp=None,
        force_mpp=False,
        part=PartChoice(),
        tissue="stain",
        seed=0,
    )
    return job.sources


def _pipe(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text), isatty=lambda: False))


def test_a_list_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    _pipe(b"a.svs\nb.svs\n", monkeypatch)
    assert _sources("x.svs", "-", "y") == tuple(map(Path, ("x.svs", "a.svs", "b.svs", "y")))
    assert _sources("x.svs") == (Path("x.svs"),)


def test_an_mpp_for_each_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _pipe(b"path,mpp\na.svs,0.5\n", monkeypatch)
    with pytest.raises(UsageError, match="one for all"):
        _sources("-")
