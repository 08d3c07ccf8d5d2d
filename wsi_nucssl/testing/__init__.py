"""Suites of tests that whoever adds a thing from outside inherits: one module a kind of thing.

    class TestMyReader(SlideReaderTests):
        reader = "mine"

        def write(self, folder, image): ...

They need pytest and hypothesis: `pip install 'wsi-nucssl[testing]'`. docs/extending.md has whole examples.
"""

import pytest

pytest.register_assert_rewrite("wsi_nucssl.testing.layouts", "wsi_nucssl.testing.slide_readers")
