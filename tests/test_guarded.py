"""What a child may do that its parent survives."""

from __future__ import annotations

import sys

import pytest

from wsi_nucssl.guarded import run_guarded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


def test_it_gives_back_what_was_said() -> None:
    ended = run_guarded("import json", "print(json.dumps(sys.argv[1:]))", "a b", "ü")
    assert (ended.fault, ended.said) == ("", b'["a b", "\\u00fc"]\n')


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os; os.abort()", "crashed (signal 6"),
        ("import ctypes; ctypes.string_at(0)", "crashed (signal 11"),
        ("while True: pass", "took longer than 1 s"),
        ("sys.exit(3)", "ended with code 3"),
        ("bytearray(5 << 30)", "ended with code 1"),
        ("raise ValueError", "ended with code 1"),
    ],
)
def test_what_goes_wrong_is_said_in_words(code: str, fault: str) -> None:
    assert run_guarded("", code, seconds=1).fault.startswith(fault)
