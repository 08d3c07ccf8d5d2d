"""The processor: which kernels OpenVINO runs on it, how many threads there are for how many cores, and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine
from wsi_nucssl.doctor.limits import cores_allowed, cpu_quota, memory_available, memory_limit
from wsi_nucssl.errors import ResourceError, UsageError

_SLOW: Final = ("sse", "ref", "unknown")
_ISA_VARIABLE: Final = "ONEDNN_MAX_CPU_ISA"
_LEAST_BYTES: Final = 2 * 10**9
_ENOUGH_BYTES: Final = 4 * 10**9


@dataclass(frozen=True, slots=True)
class Kernels:
    """What OpenVINO runs a convolution by.

    Attributes
    ----------
    processor : str
        The CPU's name.
    kernel : str
        Of a convolution, as OpenVINO's compiled graph names it: "brgconv_avx512_bf16".
    abilities : tuple of str
        Such as "BF16" and "INT8".
    restricted_by : str
        The environment's limit on instruction sets; empty without one.
    """

    processor: str
    kernel: str
    abilities: tuple[str, ...]
    restricted_by: str


def _kernels() -> Kernels:
    from wsi_nucssl.engines.openvino_engine import abilities, best_kernel, openvino_core

    restricted = os.environ.get(_ISA_VARIABLE, "")
    try:
        kernel = best_kernel()
        name = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    except RuntimeError:  # all that OpenVINO raises
        if not restricted:
            raise
        return Kernels("", "", (), restricted)
    return Kernels(name.strip(), kernel, abilities(), restricted)


def judge_kernels(found: Kernels) -> Finding:
    """AVX2 or better; nothing in the environment holds OpenVINO back."""
    if found.restricted_by and not found.kernel:
        return faulty(
            f"OpenVINO does not start with {_ISA_VARIABLE}={found.restricted_by}", f"Unset {_ISA_VARIABLE}"
        )
    extra = [name for name in ("BF16", "INT8") if name in found.abilities]
    what = f"{found.processor}: {found.kernel}" + (f" ({', '.join(extra)})" if extra else "")
    if found.restricted_by:
        return doubtful(f"{what}, held back by {_ISA_VARIABLE}", f"Unset {_ISA_VARIABLE}")
    if any(word in found.kernel for word in _SLOW):
        return doubtful(
            f"{what}: no AVX2 or better, so that the network runs many times slower",
            "Use a newer CPU, or a GPU; in a virtual machine, pass the host's CPU type through",
        )
    return fine(what)


@dataclass(frozen=True, slots=True)
class Threads:
    """Cores and the settings that share them out.

    Attributes
    ----------
    cores : int
        Of the machine.
    allowed : int
        That this process may run on.
    quota : float or None
        Cores' worth of time that a control group grants.
    omp : str
        $OMP_NUM_THREADS; empty if it is not set.
    """

    cores: int
    allowed: int
    quota: float | None
    omp: str


def _threads() -> Threads:
    return Threads(os.cpu_count() or 1, cores_allowed(), cpu_quota(), os.environ.get("OMP_NUM_THREADS", ""))


def judge_threads(found: Threads) -> Finding:
    """No more threads than cores, by affinity and by the control group's quota."""
    granted = "" if found.quota is None else f", a quota of {found.quota:.3g}"
    omp = found.omp or "not set"
    what = f"{found.allowed} of {found.cores} cores allowed{granted}; OMP_NUM_THREADS {omp}"
    first = found.omp.split(",")[0].strip()
    if found.omp and not (first.isdigit() and int(first) > 0):
        return faulty(what, "Set OMP_NUM_THREADS to a whole number from 1, or unset it", UsageError)
    if found.quota is not None and found.quota < found.allowed - 0.5:
        fewer = max(1, int(found.quota))
        return doubtful(
            f"{what}: threads wait for one another",
            f"Ask for whole cores, or run under: taskset -c 0-{fewer - 1}",
        )
    if found.omp and int(first) > found.allowed:
        return doubtful(f"{what}: more threads than cores", f"Set OMP_NUM_THREADS to {found.allowed} or less")
    return fine(what)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that are free, and that the control group grants; None where nobody says."""

    available: int | None
    limit: int | None


def _memory() -> Memory:
    return Memory(memory_available(), memory_limit())


def judge_memory(found: Memory) -> Finding:
    """About 2 GB are needed, and 4 are comfortable."""
    known = [each for each in (found.available, found.limit) if each is not None]
    if not known:
        return fine("not known on this system")
    least = min(known)
    limit = "" if found.limit is None else f" (limit {found.limit / 1e9:.1f} GB)"
    what = f"{least / 1e9:.1f} GB to be had{limit}"
    remedy = "Ask for 4 GB or more, or close other programs"
    if least < _LEAST_BYTES:
        return faulty(what, remedy, ResourceError)
    return doubtful(what, remedy) if least < _ENOUGH_BYTES else fine(what)


KERNELS: Final = Check("cpu", _kernels, judge_kernels)
THREADS: Final = Check("threads", _threads, judge_threads)
MEMORY: Final = Check("memory", _memory, judge_memory)
