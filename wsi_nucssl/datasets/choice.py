"""Which objects of an annotation file count: classes of nuclei, and that of the rectangles around finished work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.annotation_classes import REGION, class_of, is_ignored, is_named, is_one_of
from wsi_nucssl.checks import class_names
from wsi_nucssl.errors import DatasetError


@dataclass(frozen=True, slots=True)
class AnnotationChoice:
    """What of an annotation file is read.

    Attributes
    ----------
    regions : str
        The class of the rectangles in which every nucleus is annotated; no object of it is a nucleus.
    classes : tuple of str
        The classes of the nuclei that count; all if there is none. "Tumor" takes "Tumor: Positive" too.
    """

    regions: str = REGION
    classes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, regions: object, classes: object) -> AnnotationChoice:
        """The choice of who gives names: one class or several, which a comma may part.

        Raises
        ------
        UsageError
            A name is empty or no text.
        """
        class_names([regions])  # refused here, and taken as it is: a comma is part of it
        return cls(str(regions), class_names(classes))

    def check_seen(self, seen: Collection[str], path: Path) -> None:
        """Refuse a class that no object of a dataset has: all would count as background, and nobody would know.

        Raises
        ------
        DatasetError
            There is such a class; the message names those that there are.
        """
        for name in self.classes:
            if not any(AnnotationChoice(classes=(name,)).takes(each) for each in seen):
                known = ", ".join(sorted(each for each in seen if each)) or "no class at all"
                raise DatasetError(
                    f"no annotation is of the class {name!r}", path=path, remedy=f"There is {known}"
                )

    def is_region(self, feature: Any) -> bool:
        """Whether a Feature is a rectangle around finished work; QuPath's own list of classes has "Region*"."""
        return is_named(class_of(feature), self.regions)

    def leaves_out(self, feature: Any) -> bool:
        """Whether a Feature is none of the nuclei that count."""
        name = class_of(feature)
        return self.is_region(feature) or is_ignored(name) or not self.takes(name)

    def takes(self, name: str) -> bool:
        """Whether nuclei of a class count."""
        return not self.classes or is_one_of(name, self.classes)


ALL: Final = AnnotationChoice()
