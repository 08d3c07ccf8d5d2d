"""The numbers that a pretext task is built from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from wsi_nucssl.errors import UsageError
from wsi_nucssl.pretext.triplets import TripletGeometry


@dataclass(frozen=True, slots=True)
class ShortcutAugmentation:
    """Blur and noise against the resampling shortcut, drawn for each view alone after resizing; off in the paper.

    A negative is a magnified piece of the positive and therefore smoother: the variance of its Laplacian alone gives
    the answer away (it orders every triplet of MoNuSeg, and 54 % with these two).

    Attributes
    ----------
    enabled : bool
        Apply them.
    max_blur_px : float
        The blur's standard deviation is drawn from [0, max_blur_px].
    max_noise : float
        The noise's standard deviation in grey values is drawn from [0, max_noise].
    """

    enabled: bool = False
    max_blur_px: float = 3.0
    max_noise: float = 12.0

    def __post_init__(self) -> None:
        if not (0 < self.max_blur_px < math.inf and 0 <= self.max_noise < math.inf):
            raise UsageError(
                f"blur must be positive and noise not negative: {self.max_blur_px}, {self.max_noise}"
            )


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What `build_task` needs beside the task's name.

    Attributes
    ----------
    view_px : int
        Side of the images that the network sees.
    geometry : TripletGeometry
        Of triplets.
    margin_triplet, margin_rank : float
        m1 and m2 of equations (1) and (2).
    turn : bool
        Turn and mirror each view of a triplet at random.
    stain : float
        Relative jitter of each stain's optical density, shared within a triplet; 0 turns it off.
    deshortcut : ShortcutAugmentation
        Against the resampling shortcut.
    """

    view_px: int = 768
    geometry: TripletGeometry = field(default_factory=TripletGeometry)
    margin_triplet: float = 1.0
    margin_rank: float = 1.0
    turn: bool = True
    stain: float = 0.0
    deshortcut: ShortcutAugmentation = field(default_factory=ShortcutAugmentation)

    def __post_init__(self) -> None:
        if self.view_px < 32 or self.view_px % 32:
            raise UsageError(
                f"views of {self.view_px} px do not suit the network", remedy="Use a multiple of 32 px"
            )
        if not (0 < self.margin_triplet < math.inf and 0 < self.margin_rank < math.inf):
            raise UsageError(
                f"margins must be positive and finite: {self.margin_triplet}, {self.margin_rank}"
            )
        if not 0 <= self.stain < 1:
            raise UsageError(f"stain jitter must lie in [0, 1), not {self.stain}")
