"""What the system lets this process use: the limits of its control groups and its memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
_UNLIMITED_BYTES: Final = 1 << 60
"""Version 1 writes a number near 2⁶³ where there is no limit."""


def cores_allowed() -> int:
    """Cores that this process may run on, by its affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = _ROOT, own: Path = _OWN) -> float | None:
    """Cores' worth of time that the control groups grant; None without a limit."""
    quotas = [_quota(folder) for folder in _groups(root, own, "cpu")]
    return min((each for each in quotas if each is not None), default=None)


def memory_limit(root: Path = _ROOT, own: Path = _OWN) -> int | None:
    """Bytes that the control groups grant; None without a limit."""
    texts = [
        _text(folder / name)
        for folder in _groups(root, own, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    limits = [int(text) for text in texts if text.isdigit()]
    return min((each for each in limits if each < _UNLIMITED_BYTES), default=None)


def memory_available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of memory that are free or can be freed; None where the system does not say."""
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all above it; of version 1, those of a controller."""
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        group = top / path.lstrip("/")
        yield group
        yield from (each for each in group.parents if each == top or top in each.parents)


def _quota(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").partition(" ")
    if not limit:
        limit, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    return int(limit) / int(period) if limit.isdigit() and period.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
