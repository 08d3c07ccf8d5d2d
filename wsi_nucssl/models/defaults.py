"""The model that is taken where none is named; light enough for help texts."""

from typing import Final

DEFAULT_MODEL: Final = "liteunet0x2-nuclei"
