"""Suites of tests that whoever adds a thing from outside inherits: one module a kind of thing.

    class TestMyReader(SlideReaderTests):
        reader = "mine"

        def write(self, folder, image): ...

They need pytest and hypothesis: `pip install 'wsi-nucssl[testing]'`. docs/extending.md has whole examples.
"""

import pytest

for _kind in ("encoders", "engines", "layouts", "pretext_tasks", "slide_readers"):
    pytest.register_assert_rewrite(f"{__name__}.{_kind}")
