"""What of a slide is looked at: its tissue, or what of it lies in regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import as_text
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.slide import Slide, TissueMask
from wsi_nucssl.slide.annotation_files import own_path
from wsi_nucssl.slide.roi import Roi
from wsi_nucssl.slide.roi_reading import check_unit, roi_of
from wsi_nucssl.slide.tissue_files import tissue_record


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What of a slide is looked at.

    Attributes
    ----------
    tissue : TissueMask
        All of the slide's.
    roi : Roi or None
        Regions that nuclei are looked for in; None for everywhere.
    tissue_record : dict
        What a manifest says of how the tissue was found.
    """

    tissue: TissueMask
    roi: Roi | None
    tissue_record: dict[str, str]

    @classmethod
    def of(cls, slide: Slide, tissue: TissueMask, options: SegmentOptions) -> Self:
        """Of a slide whose tissue is known.

        Raises
        ------
        InputError
            The regions are none of this slide.
        """
        path = options.roi and own_path(options.roi, slide.path)
        roi = roi_of(slide, path, options.roi_class)
        if roi:
            check_unit(roi, tissue, slide)
        return cls(tissue, roi, tissue_record(options.tissue, slide))

    def record(self) -> dict[str, Any]:
        """What a manifest says of it; nothing where all is by default."""
        return {**self.tissue_record, **(self.roi.record() if self.roi else {})}

    @property
    def seen(self) -> TissueMask:
        """The tissue that is looked at."""
        return self.roi.within(self.tissue) if self.roi else self.tissue

    @property
    def mm2(self) -> float:
        """How much tissue is looked at."""
        return self.mm2_in(None)

    def mm2_in(self, box: Box | None) -> float:
        """How much of it lies in a level-0 box, or in all; 0 where the resolution is unknown."""
        tissue = self.tissue
        if tissue.mpp is None:
            return 0.0
        if self.roi:
            rows, cols = tissue.mask.shape
            whole = Box(0, 0, int(cols * tissue.scale) + 1, int(rows * tissue.scale) + 1)
            return self.roi.tissue_mm2(tissue, box or whole)
        if box is None:
            return tissue.area_mm2 or 0.0
        return tissue.coverage(box) * box.size.area * tissue.mpp.x * tissue.mpp.y / tissue.scale**2 / 1e6

    @property
    def doubt(self) -> Doubt | None:
        """What is wrong with it before the network has seen anything: there is no tissue."""
        if not self.tissue.fraction:
            return _NO_TISSUE
        if self.roi and not self.mm2:
            return Doubt(
                "no-tissue-in-roi",
                f"the regions of {as_text(self.roi.path.name)} hold no tissue, so that no nucleus was looked for",
                "Look at them over the slide in QuPath; ⟨tissue⟩ none looks at all that they hold",
            )
        return None


_NO_TISSUE = Doubt(
    "no-tissue",
    "no tissue was found, so that no nucleus was looked for: a slide of glass, or a stain that the tissue mask misses",
    "Look at its thumbnail (info with ⟨thumbnail⟩); ⟨tissue⟩ none looks everywhere, or takes annotations of yours",
)
