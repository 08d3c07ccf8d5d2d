"""Packages whose names are imported when they are first used (PEP 562, https://peps.python.org/pep-0562/)."""

from importlib import import_module

TYPE_CHECKING = (
    False  # as in the package itself: typing, collections and __future__ cost more than all of this
)
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazily(
    package: str, homes: "Mapping[str, str]", *own: str
) -> "tuple[Callable[[str], object], Callable[[], list[str]]]":
    """The `__getattr__` and `__dir__` of a package.

    Parameters
    ----------
    package : str
        Its `__name__`.
    homes : mapping of str to str
        The module below `package` in which each public name lives. A name that lives in the module of its own name is
        that module, such as the rooms that are called like a job (`rooms`).
    own : str
        Public names that the package has already.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(f"{package}.{homes[name]}")
        return home if homes[name] == name else getattr(home, name)

    return get, lambda: sorted((*homes, *own))
