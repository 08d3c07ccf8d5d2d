"""What classes of annotations are called unless somebody says otherwise."""

from __future__ import annotations

from typing import Final

REGION: Final = "Region"
"""The class of rectangles inside which all nuclei are annotated."""
