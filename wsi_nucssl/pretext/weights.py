"""A pretrained encoder with its head, in and out: what probes and density maps need."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.encoders import ENCODERS, build_encoder
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.tasks import TASKS, build_task

PRETEXT_FILE = "pretext.safetensors"
_HEADER = "wsi_nucssl_pretext"


@dataclass(frozen=True, slots=True)
class PretextInfo:
    """What a pretext file says of itself.

    Attributes
    ----------
    task : str
        What it learnt by.
    encoder : str
        Its name.
    mpp : float
        µm per px of an anchor as the network sees it.
    view_px : int
        Side of the views it saw.
    provenance : dict of str to Any
        The run's manifest.
    """

    task: str
    encoder: str
    mpp: float
    view_px: int
    provenance: dict[str, Any] = field(default_factory=dict)


def save_pretext(path: Path, model: PretextModel, info: PretextInfo) -> None:
    """Write encoder and head atomically."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(path, save(tensors, metadata={_HEADER: json.dumps(asdict(info))}))


def load_pretext(run_or_file: Path) -> tuple[PretextModel, PretextInfo]:
    """Load what `save_pretext` wrote, from the file or its run directory; on the CPU, in evaluation mode.

    Raises
    ------
    WeightsError
        No such file, a damaged one, or one that pretraining did not write.
    """
    path = run_or_file / PRETEXT_FILE if run_or_file.is_dir() else run_or_file
    if not path.exists():
        raise WeightsError(
            "there is no pretrained model", path=path, remedy="Give a run of wsi-nucssl pretrain"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            info = _parse(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = build_pretext(info)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"not a whole file of a pretrained model ({error})",
            path=path,
            remedy="Give a run of wsi-nucssl pretrain",
        ) from error
    return model.eval(), info


def build_pretext(info: PretextInfo) -> PretextModel:
    """A randomly initialised model of that task and encoder."""
    encoder = build_encoder(info.encoder)
    task = build_task(info.task, TaskSettings(view_px=info.view_px))
    return PretextModel(encoder, task.head(encoder.channels))


def _parse(header: dict[str, str]) -> PretextInfo:
    info = PretextInfo(**json.loads(header[_HEADER]))
    if info.task not in TASKS.names or info.encoder not in ENCODERS.names:
        raise ValueError(f"task {info.task!r} with encoder {info.encoder!r} is unknown to this version")
    return info
