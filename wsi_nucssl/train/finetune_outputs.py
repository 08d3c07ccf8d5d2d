"""What a fine-tuning run leaves in its directory: weights, the training state, scores, pictures, a calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import imagecodecs

from wsi_nucssl.files import sha256_file, write_atomic
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.train.calibrate import Predicted, calibrate
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.history import History
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.validate import predictions, validate

MODEL: Final = "model.safetensors"
DONE: Final = "done.json"
_STATE: Final = "state.pt"
_CURVES: Final = (("loss",), ("validation_aji", "validation_dice1"), ("loader_share",))

Report = Callable[[Mapping[str, float]], None]
"""Called after each epoch with what was written to history.csv."""


class FinetuneOutputs:
    """The outputs of one run, written at the end of each epoch; takes up the state that is there.

    Parameters
    ----------
    job : FinetuneJob
        FinetuneJob.
    provenance : dict
        What the weights' header says of where they come from.
    run : Path
        The run's directory, which is held.
    loop : Loop
        At its first step; goes on where the directory's state stands.
    validation : sequence of LabelledImage
        Sequence of LabelledImage.
    report : Report or None
        Callable or None.
    """

    def __init__(
        self,
        job: FinetuneJob,
        provenance: dict[str, Any],
        run: Path,
        loop: Loop,
        validation: Sequence[LabelledImage],
        report: Report | None,
    ) -> None:
        self.job, self.provenance, self.directory = job, provenance, run
        self.loop, self.validation, self.report = loop, validation, report
        self.first, self.device = loop.accelerator.is_main_process, loop.accelerator.device
        self.epoch_steps = loop.steps // job.recipe.epochs
        self.state = run / _STATE
        if self.state.exists():
            loop.load(self.state)
        self.history = History(run, loop.step)
        self.config = InstanceConfig(regrow_px=job.recipe.boundary_px * 2)

    @property
    def network(self) -> ResUNet:
        """What is validated and kept."""
        network = self.loop.result
        assert isinstance(network, ResUNet)
        return network

    def begin(self) -> None:
        """Write the split down."""
        if self.first:
            self.job.split.write(self.directory / "split.json", overwrite=True)

    def end_epoch(self, interval: Interval) -> None:
        """Validate where it is time, write weights, a row and the state."""
        if not self.first:
            return
        epoch = -(-interval.step // self.epoch_steps)
        row = {
            "step": interval.step,
            "epoch": epoch,
            "seconds": round(interval.seconds, 2),
            "loader_share": round(interval.loader_fraction, 4),
            **{name: round(value, 5) for name, value in interval.scalars.items()},
        }
        last = epoch == self.job.recipe.epochs
        scores: dict[str, Any] = {"epoch": epoch}
        if self.validation and (last or epoch % self.job.recipe.validate_every == 0):
            row |= self._validate(epoch, scores)
        self._save(scores)
        self.history.add(row)
        self.history.show_curves(_CURVES, last=last)
        self.loop.save(self.state)
        if self.report is not None:
            self.report(row)

    def finish(self) -> None:
        """Calibrate, and say that the run is done."""
        if self.first:
            score = self._calibrate(self.directory / MODEL)
            said = {"validation_aji": score, "model_sha256": sha256_file(self.directory / MODEL)}
            write_atomic(self.directory / DONE, json.dumps(said))

    def _validate(self, epoch: int, scores: dict[str, Any]) -> dict[str, float]:
        """Score the network, add that to `scores`, and keep a picture of its errors on the worst image."""
        found = validate(self.network.eval(), self.validation, self.device, self.config)
        mean_aji = round(found.mean_aji, 5)
        images = {name: round(value, 5) for name, value in found.aji.items()}
        scores |= {"validation_aji": mean_aji, "validation_images": images}
        picture = bytes(imagecodecs.png_encode(found.worst))
        write_atomic(self.directory / "overlays" / f"epoch-{epoch:04}.png", picture)
        self.history.show("worst validation image", found.worst, self.loop.step)
        return {"validation_aji": mean_aji, "validation_dice1": round(found.mean_dice1, 5)}

    def _calibrate(self, weights: Path) -> float | None:
        """Fit the extraction settings to the weights on the validation images; without any, keep the defaults."""
        if not self.validation:
            return None
        model = load_model(weights)
        network = model.network.to(self.device)
        pairs = zip(predictions(network, self.validation, self.device), self.validation, strict=True)
        own = [Predicted(image.id, planes, image.labels) for planes, image in pairs]
        found = calibrate({"validation": own}, self.config)
        images = {name: round(value, 5) for name, value in found.aji["validation"].items()}
        calibration = {"aji": round(found.mean_aji, 5), "images": images}
        provenance = {**model.info.provenance, "calibration": calibration}
        save_model(weights, network, replace(model.info, instances=found.config, provenance=provenance))
        return found.mean_aji

    def _save(self, scores: dict[str, Any]) -> None:
        provenance = {**self.provenance, "scores": scores}
        info = ModelInfo(
            self.directory.name, self.job.arch, self.job.mpp, self.config, self.job.schema, provenance
        )
        save_model(self.directory / MODEL, self.network, info)
