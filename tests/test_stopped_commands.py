"""What a stopped command says to go on with is a command that goes on."""

from __future__ import annotations

import sys

import pytest

from wsi_nucssl_cli.app import _resume_command


@pytest.mark.parametrize(
    ("stopped", "goes_on"),
    [
        ("segment a.svs -o out", "segment a.svs -o out --resume"),
        ("segment a.svs -o out --overwrite", "segment a.svs -o out --resume"),
        ("finetune data -o run --resume", "finetune data -o run --resume"),
        ("pretrain a.svs -o run", "pretrain a.svs -o run --resume"),
        ("tile a.svs -o out --overwrite", "tile a.svs -o out --overwrite"),
        ("info a.svs", "info a.svs"),
        ("benchmark data -o scores --overwrite", "benchmark data -o scores --resume"),
        ("reproduce table1 data -o tables", "reproduce table1 data -o tables"),
    ],
)
def test_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch, stopped: str, goes_on: str) -> None:
    monkeypatch.setattr(sys, "argv", ["wsi-nucssl", *stopped.split()])
    assert _resume_command() == f"wsi-nucssl {goes_on}"
