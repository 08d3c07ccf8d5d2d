"""Rooms that are called like a job: `wsi_nucssl.segment(...)` segments, and `wsi_nucssl.segment.plan` is a module.

Python sets a sub-package as an attribute of its package when anything in it is imported, so a function of that name in
`wsi_nucssl` would be replaced sooner or later, depending on what was imported before. Here the two are one object: the
room is a module that can be called. So it does not matter who imported what, `import wsi_nucssl.segment.plan as plan`
works as ever, and the room pickles, for pools of processes. Signature and docstring are the job's.
"""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """A room that does its job when it is called; the job is imported then, or when its help is asked for."""

    _job: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the job."""
        return self.__wrapped__(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:
        """The function that does the job."""
        module, _, name = self._job.partition(":")
        return getattr(import_module(module), name)

    @property
    def __signature__(self) -> Signature:
        return signature(self.__wrapped__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        job: str | None = self.__wrapped__.__doc__
        return job

    def __repr__(self) -> str:
        return f"<{self.__name__}: a function, and the package of that name>"

    def __reduce__(self) -> tuple[object, ...]:
        return import_module, (self.__name__,)


def make_callable(room: str, job: str) -> None:
    """Let a room be called; its `__init__` does this.

    Parameters
    ----------
    room : str
        Its `__name__`.
    job : str
        "package.module:function", imported when it is needed.
    """
    module = sys.modules[room]
    module.__class__ = CallableRoom
    vars(module)["_job"] = job
