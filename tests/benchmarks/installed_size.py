"""What `pip install .` brings and how large it is: `python -m tests.benchmarks.installed_size [--most 20]`.

Follows what pyproject.toml needs, without extras, through the packages of this environment, whatever else is installed
here. Prints how many packages that are, their size together, and the largest. A package's size is that of the files
that it lists; NVIDIA's libraries count together.
"""

from __future__ import annotations

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


def applying(texts: Iterable[str], extra: str = "") -> list[Requirement]:
    """The requirements among these that hold on this machine, for that extra."""
    requirements = map(Requirement, texts)
    return [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": extra})]


def needed(requirements: list[Requirement]) -> dict[str, Distribution]:
    """The packages behind these requirements, and behind theirs, by name."""
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    coming = [*requirements]
    while coming:
        wanted = coming.pop()
        package = distribution(wanted.name)
        name = package.name.lower()
        found[name] = package
        for extra in {"", *wanted.extras}:
            if (name, extra) not in asked:
                asked.add((name, extra))
                coming += applying(package.requires or (), extra)
    return found


def size(package: Distribution) -> int:
    """Bytes of the files that a package lists and that are there."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    """Print a row for each of the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=20)
    arguments = parser.parse_args()
    packages = needed(applying(tomllib.loads(PROJECT.read_text())["project"]["dependencies"]))
    sizes: Counter[str] = Counter()
    for name, package in packages.items():
        sizes["NVIDIA's" if name.startswith(("nvidia-", "cuda-")) else name] += size(package)
    print(f"{len(packages)} packages, {sizes.total() / 1e9:.2f} GB")
    for name, each in sizes.most_common(arguments.most):
        print(f"{name}: {each / 1e9:.3f} GB")


if __name__ == "__main__":
    main()
