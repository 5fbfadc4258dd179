"""The training loop: resumable at the exact step, on one device or on several."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.diffusion.model_folder import find_model
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.io.write import write_atomic, write_json
from napari_rsna_inpaint.train.batches import batches
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss
from napari_rsna_inpaint.train.methods import load_method
from napari_rsna_inpaint.train.network_average import NetworkAverage
from napari_rsna_inpaint.train.pictures import contact_sheet
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.processes import start_fabric
from napari_rsna_inpaint.train.records import Records
from napari_rsna_inpaint.train.settings import BaseTrainConfig

log = logging.getLogger(__name__)

#: Several processes agree on stopping every so many steps.
STOP_EVERY = 10


class Trainer:
    """State of one training run in a folder.

    ``model/`` holds the averaged weights of the last validation, ``best/`` those of the
    validation with the highest score and its figures, ``log.csv`` and ``tensorboard/`` one
    row a validation, ``pictures/`` completions of held-out slices, ``train.json`` the
    settings, ``checkpoint.pt`` everything to go on at the exact step.

    Parameters
    ----------
    config
        Settings of the method.
    training, validation
        Series; without any for validation there is no ``best/``.
    folder
        Of the run; a run that it holds already goes on, with the same settings and series. Only
        ``steps`` may be raised: from there on the learning rate is that of the longer run.
    device
        ``auto``, ``cpu`` or ``cuda``; started by torchrun, every process has one of its own.
    init
        Model to start from, by name or path; a run that goes on has its own weights.
    outlines
        Lesions whose outlines serve as holes, too.
    workers
        Processes that prepare batches; results do not depend on them.
    method
        Name of the training method.

    Raises
    ------
    InputRefused
        If the run in the folder is damaged or has other settings or series.
    """

    def __init__(
        self,
        config: BaseTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        folder: Path,
        device: str = "auto",
        *,
        init: str | Path | None = None,
        outlines: LesionOutlines | None = None,
        workers: int = 0,
        method: str = "grid",
    ) -> None:
        self.config = config
        self.folder = folder
        self.step = 0
        self._fabric = start_fabric(device, config.precision, config.batch_size)
        self._workers = workers
        self._settings = {
            **config.model_dump(mode="json"),
            "--data": _names_sha256(training),
            "--validation": _names_sha256(validation),
            "--lesion-shapes": outlines is not None,
            "--method": method,
        }
        self._method = load_method(method)(config, training, validation, outlines)
        torch.manual_seed(config.seed)
        self._networks = self._first_networks(init)
        self._averages = {
            name: NetworkAverage(network, config.ema_decay)
            for name, network in self._networks.items()
        }
        self._wrapped: dict[str, nn.Module] = {}
        self._optimizers: dict[str, Any] = {}
        for name, network in self._networks.items():
            optimizer = torch.optim.AdamW(
                network.parameters(),
                config.learning_rate,
                betas=config.betas,
                weight_decay=config.weight_decay,
            )
            self._wrapped[name], self._optimizers[name] = self._fabric.setup(network, optimizer)
        self._history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._seconds = 0.0
        if self._checkpoint.exists():
            self._resume()

    def _first_networks(self, init: str | Path | None) -> dict[str, nn.Module]:
        networks = self._method.networks()
        if init is not None:
            self._method.start_from(find_model(init, None), networks)
        for network in networks.values():
            network.train().to(self._fabric.device)
            network.to(memory_format=self._method.memory_format)  # type: ignore[call-overload]
        return networks

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self._fabric.is_global_zero

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def run(
        self,
        on_progress: Callable[[int, int, dict[str, float]], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Train to the last step; saves at every validation and when cancelled.

        Raises
        ------
        Cancelled
            After saving.
        OutputFailed
            If the folder cannot be written.
        """
        records = None
        if self.is_main:
            make_folder(self.folder)
            write_json(self.folder / "train.json", self.config.model_dump(mode="json"))
            records = Records(self.folder, self.step)
        loader = batches(
            self._method,
            self.step,
            rank=self._fabric.global_rank,
            processes=self._fabric.world_size,
            workers=self._workers,
            pin_memory=self._fabric.device.type == "cuda",
        )
        before = time.monotonic() - self._seconds
        try:
            for batch in loader:
                self._losses.append(self._train_step(self._fabric.to_device(batch)))
                self.step += 1
                self._seconds = time.monotonic() - before
                last = self.step == self.config.steps
                if last or self.step % self.config.validation_every == 0:
                    row = self._validate(records)
                    if on_progress is not None and row is not None:
                        on_progress(self.step, self.config.steps, row)
                if records is not None and (last or self.step % self.config.picture_every == 0):
                    self._draw(records)
                if not last and cancelled is not None and self._agreed(cancelled):
                    self.save()
                    # torchrun would end the process that saves when another one has ended
                    self._fabric.barrier()
                    raise Cancelled(f"Training stopped at step {self.step}; start again to go on.")
        finally:
            if records is not None:
                records.close()

    def save(self) -> None:
        """Write checkpoint and averaged model; a kill in between leaves the old ones whole."""
        if not self.is_main:
            return
        self._method.save(self.folder / "model", self._averaged())
        content = io.BytesIO()
        torch.save(
            {
                "settings": self._settings,
                "step": self.step,
                "networks": _states(self._networks),
                "averages": _states(self._averaged()),
                "optimizers": _states(self._optimizers),
                "history": self._history,
                "losses": self._losses,
                "seconds": self._seconds,
            },
            content,
        )
        write_atomic(self._checkpoint, content.getbuffer())

    def _resume(self) -> None:
        device = self._fabric.device
        try:
            state: dict[str, Any] = torch.load(
                self._checkpoint, map_location=device, weights_only=True
            )
        except Exception as error:  # a damaged pickle raises whatever it likes
            raise InputRefused(
                f"{self._checkpoint} is damaged; remove it to train from the start."
            ) from error
        if "networks" not in state:
            raise InputRefused(
                f"{self._checkpoint} was written by an older version; "
                f"start in another folder, from its weights with --init {self.folder / 'model'}."
            )
        changed = self._changed(state["settings"])
        if changed:
            raise InputRefused(
                f"The run in {self.folder} was started with other settings ({', '.join(changed)}); "
                "give the same again (steps may be raised) or name another folder with -o."
            )
        self.step = int(state["step"])
        for name, network in self._networks.items():
            network.load_state_dict(state["networks"][name])
            self._averages[name].network.load_state_dict(state["averages"][name])
            self._optimizers[name].load_state_dict(state["optimizers"][name])
        self._history = state["history"]
        self._losses = state["losses"]
        self._seconds = state["seconds"]
        log.info("resumed at step %d", self.step)

    def _changed(self, before: dict[str, Any]) -> list[str]:
        """Names of the settings in which the run would not be what it was."""
        changed = [name for name, now in self._settings.items() if before.get(name) != now]
        if "steps" in changed and self.config.steps > before["steps"]:
            changed.remove("steps")
        return changed

    def _train_step(self, batch: dict[str, Tensor]) -> Tensor:
        """One step on this process's share of the batch; the mean losses of all of it."""
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate_at(self.step)
        means = {}
        for loss in self._method.losses(self._wrapped, batch, self.step):
            means[loss.network] = self._learn(loss)
        for name, average in self._averages.items():
            average.update(self._networks[name], self.step)
        return torch.stack(list(means.values())).sum()

    def _learn(self, loss: Loss) -> Tensor:
        """One optimiser step; returns the loss of all processes."""
        sums = torch.stack([loss.total.detach(), loss.weight])
        total, weight = self._fabric.all_reduce(sums, reduce_op="sum")
        optimizer, network = self._optimizers[loss.network], self._wrapped[loss.network]
        optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes: this makes them those of one batch.
        self._fabric.backward(loss.total / weight * self._fabric.world_size)
        self._fabric.clip_gradients(network, optimizer, max_norm=self.config.gradient_clip)
        optimizer.step()
        return total / weight

    def _agreed(self, cancelled: Callable[[], bool]) -> bool:
        """Whether any process is to stop; all get the same answer at the same step."""
        if self._fabric.world_size == 1:
            return cancelled()
        if self.step % STOP_EVERY:
            return False
        asked = torch.tensor(float(cancelled()), device=self._fabric.device)
        return bool(torch.as_tensor(self._fabric.all_reduce(asked, reduce_op="sum")) > 0)

    def _validate(self, records: Records | None) -> dict[str, float] | None:
        """Measure, keep the best, save; only in the process that writes."""
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        if records is None:
            return None
        row = {
            "step": self.step,
            "loss": loss,
            "learning_rate": self.config.learning_rate_at(self.step - 1),
            **self._method.figures(self._averaged()),
            "seconds": self._seconds,
        }
        earlier = [r["score"] for r in self._history]
        self._history.append(row)
        if not math.isnan(row["score"]) and row["score"] > max(earlier, default=-math.inf):
            self._method.save(self.folder / "best", self._averaged())
            write_json(self.folder / "best" / "best.json", row)
        self.save()
        records.add(self._history)
        return row

    def _draw(self, records: Records) -> None:
        slices = self._method.pictures(self._averaged())
        if slices:
            records.add_picture(self.step, contact_sheet(slices))

    def _averaged(self) -> dict[str, nn.Module]:
        return {name: average.network for name, average in self._averages.items()}


def _states(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in parts.items()}


def _names_sha256(series: list[PreparedSeries]) -> str:
    """Hash of the names in their order, wherever the data lie."""
    names = "\n".join(f"{one.patient} {one.name}" for one in series)
    return hashlib.sha256(names.encode()).hexdigest()
