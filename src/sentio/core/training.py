"""The training loop for every Method: one function, :func:`fit`, on Lightning Fabric.

Fabric gives devices, precision and processes and leaves the loop to us, which is what makes a resumed run exact: the
only clock is the number of optimizer steps. Epoch, position in the epoch, order of the items and learning rate follow
from it; everything else (weights, moving average, optimizer, random states, best metric) is in the checkpoint.

A run's folder: ``checkpoints/`` (newest two), ``best.safetensors``, ``metrics.json``, ``logs/`` (CSV, TensorBoard).
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sentio.core import checkpoints, loading, processes, weights
from sentio.core.bench import peak_memory_mb
from sentio.core.config import to_dict
from sentio.core.counts import counted
from sentio.core.devices import deterministic, make_fabric
from sentio.core.errors import InputError, OutputError, SentioError
from sentio.core.interrupts import stop_requests
from sentio.core.method import Method, TrainingData
from sentio.core.optimization import FitConfig, MovingAverage, lr_factor, make_optimizer
from sentio.core.progress import duration
from sentio.core.report import finite_or_none
from sentio.core.runlog import RunLog
from sentio.core.runtime import seed_everything
from sentio.core.writers import write_json

PACE_STEPS = 5
"""Steps after which the pace of a run is told."""


def fit(method: Method, data: TrainingData, config: FitConfig, out: Path | str, *, resume: bool = False) -> Path:
    """Train ``method`` on ``data`` and keep the best weights.

    Under ``torchrun`` the work is shared by its processes, else it is done by this one on the GPU or the CPU. Losses,
    batch norms and validation are those of one process with the items of all.
    The first Ctrl-C (or SIGTERM) finishes the step, writes a checkpoint and raises KeyboardInterrupt.

    Args:
        out: the run's folder.
        resume: go on from the newest whole checkpoint in ``out``. On the CPU the weights then become, bit for bit,
            those of a run that was never stopped.

    Returns:
        ``out/best.safetensors``.

    Raises:
        OutputError: ``out`` already holds a run and ``resume`` is False.
        InputError: fewer items than one optimizer step takes.
        RecipeError: a precision that the device lacks, or a resumed run with another config.
        SentioError: a loss or gradient that is not finite; the message names the term and the items.
    """
    return _Run(method, data, config, Path(out), resume).go()


def refuse_begun(out: Path) -> None:
    """See that a folder holds no run.

    Raises:
        OutputError: it does.
    """
    if any((out / "checkpoints").glob("step-*")):
        raise OutputError(f"{out} already holds a run.", "Give --resume to go on with it, or another --out.")


class _Objective(nn.Module):
    """``method.loss`` as a forward pass, which is what Fabric wraps for autocast and DDP.

    The batch comes through a function, for Fabric would cast the tensors of a plain argument, labels too, to 16 bits.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Callable[[], Any], progress: float) -> dict[str, Tensor]:
        return self.method.loss(batch(), progress)


class _Run:
    """One run of :func:`fit`: its state and the steps that change it."""

    def __init__(self, method: Method, data: TrainingData, config: FitConfig, out: Path, resume: bool) -> None:
        self.data, self.config, self.out = data, config, out
        self.fabric = make_fabric(config)
        self.fabric.launch()
        seed_everything(config.seed + self.fabric.global_rank)
        self.method = method.train()
        self.fabric.to_device(method)
        processes.join_batch_norms(method)
        self.optimizer = make_optimizer(method.parameter_groups(), config)
        self.objective, self.stepper = self.fabric.setup(_Objective(method), self.optimizer)
        self.average = MovingAverage(self.method, config.ema_decay) if config.ema_decay else None
        self.dataset = cast(Any, data.train_dataset())
        data.workers = config.workers
        self.items_per_step = config.batch_size * config.accumulate * self.fabric.world_size
        self.steps_per_epoch = len(self.dataset) // self.items_per_step
        if not self.steps_per_epoch:
            raise InputError(
                f"The training set has {counted(len(self.dataset), 'item')}, one step takes {self.items_per_step}.",
                "Lower batch_size or accumulate, or give more data.",
            )
        self.total = config.steps or config.epochs * self.steps_per_epoch
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] | None = None
        self.stale = 0
        self._start(resume)

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        return self.step >= self.total or bool(self.config.patience and self.stale >= self.config.patience)

    def go(self) -> Path:
        """Train until the end, a stop request or an error."""
        first = self.fabric.is_global_zero
        log = RunLog(self.out, step=self.step, total=self.total, active=first)
        with deterministic(self.fabric.device), stop_requests() as requests, log:
            log.say(f"{self.out} is trained already." if self.finished else self._plan())
            self.started = self.step, time.perf_counter()
            while not self.finished:
                self._train_epoch(log, requests)
            log.say(f"Done: step {self.step}, {self._best_so_far()}.")
        return self.out / "best.safetensors"

    # --- what people are told

    def _plan(self) -> str:
        """Device, size and length of what is about to be done."""
        here = self.fabric.device
        device = torch.cuda.get_device_name(here) if here.type == "cuda" else counted(torch.get_num_threads(), "thread")
        learnt = sum(value.numel() for value in self.method.parameters() if value.requires_grad)
        begun = f" from step {self.step:,}" if self.step else ""
        world = self.fabric.world_size
        each = counted(self.items_per_step // world, "item")
        shared = f" {world} processes take {each} of a step each; the rate does not grow with them (fit.lr)."
        return (
            f"Training {self.method.name} ({learnt:,} parameters) on {here.type} ({device}, {self.config.precision})"
            f"{begun}: {counted(self.total, 'step')} of {counted(self.items_per_step, 'item')}, "
            f"{counted(self.steps_per_epoch, 'step')} an epoch, "
            f"learning rate {self.config.lr:g}.{shared if world > 1 else ''}"
        )

    def _pace(self) -> str:
        """Seconds a step, memory, and the end in sight, from the steps done so far."""
        first, began = self.started
        seconds = (time.perf_counter() - began) / (self.step - first)
        memory = peak_memory_mb()
        if self.fabric.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(self.fabric.device) / 2**20
        left = duration(seconds * (self.total - self.step))
        return f"{seconds:.2g} s a step, {memory:,.0f} MB of memory, about {left} to the last step."

    def _best_so_far(self) -> str:
        name = self.data.monitor
        return "nothing validated" if self.best is None else f"best {name} {self.best[name]:.4g} at {self.best['step']}"

    # --- steps

    def _train_epoch(self, log: RunLog, requests: list[int]) -> None:
        """The rest of the current epoch, or of the run."""
        epoch = self.epoch
        stream = self._batches(epoch)
        self.method.train()
        while self.epoch == epoch and not self.finished:
            values = self._train_step(stream)
            log.show(self.step, epoch, {"loss": values["train/loss"]})
            if self.step == min(self.started[0] + PACE_STEPS, self.total):
                log.say(self._pace())
            if self.step % self.config.log_every == 0:
                log.write(self.step, epoch, values)
            validates = self._validation_is_due()
            if validates:
                metrics = self._validate()
                log.write(self.step, epoch, {f"validation/{name}": value for name, value in metrics.items()})
                log.show(self.step, epoch, {self.data.monitor: metrics[self.data.monitor]})
            stops = self._any_process(bool(requests)) and not self.finished
            if validates or stops or self.step % self.config.checkpoint_every == 0:
                self._save()
            if stops:
                log.say(f"Stopped at step {self.step} of {self.total}; a checkpoint is in {self.out / 'checkpoints'}.")
                log.say("To go on, give the command again (sentio train with --resume, in Python: fit(resume=True)).")
                raise KeyboardInterrupt

    def _train_step(self, stream: Iterator[tuple[list[int], Any]]) -> dict[str, float]:
        """One optimizer step; returns what is logged of it."""
        factor = lr_factor(self.config, self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        logged: dict[str, float] = {}
        parts = self.config.accumulate
        for part in range(parts):
            items, batch = next(stream)
            hold = self.fabric.world_size > 1 and part < parts - 1
            with self.fabric.no_backward_sync(self.objective) if hold else contextlib.nullcontext():
                terms = self._backward(items, batch.to(self.fabric.device))
            for name, value in terms.items():
                logged[f"train/{name}"] = logged.get(f"train/{name}", 0.0) + value / parts
        limit = self.config.clip_norm or math.inf
        clipped = self.fabric.clip_gradients(self.objective, self.stepper, max_norm=limit, error_if_nonfinite=False)
        norm = float(cast(Tensor, clipped))
        if not math.isfinite(norm) and self.config.precision != "16-mixed":  # there the scaler skips such a step
            self._fail("gradient norm", norm, items)
        self.stepper.step()
        self.optimizer.zero_grad()
        self.method.after_step()
        if self.average:
            self.average.update(self.method, self.step)
        self.step += 1
        return logged | {"train/gradient_norm": norm, "train/lr": self.optimizer.param_groups[0]["lr"]}

    def _backward(self, items: list[int], batch: Any) -> dict[str, float]:
        """Forward and backward pass of one batch; returns the terms and their sum as ``loss``."""
        terms = self.objective(lambda: batch, self.step / self.total)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        values = processes.mean(torch.stack([term.detach().float() for term in (*terms.values(), loss)])).tolist()
        for name, value in zip((*terms, "sum"), values, strict=True):
            if not math.isfinite(value):
                self._fail(f"loss term {name!r}", value, items)
        self.fabric.backward(loss / self.config.accumulate)
        return dict(zip((*terms, "loss"), values, strict=True))

    def _fail(self, what: str, value: float, items: list[int]) -> None:
        """Stop with the batch named: in the message the first items, in ``nonfinite.json`` all."""
        names = [self.data.describe(i) for i in items]
        path = self.out / "nonfinite.json"
        if self.fabric.is_global_zero:
            write_json(path, {"step": self.step, "epoch": self.epoch, "what": what, "items": items, "names": names})
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise SentioError(
            f"The {what} is {value} at step {self.step} (epoch {self.epoch}), in the batch of "
            f"{', '.join(names[:8])}{more}.",
            f"Look at these items (all are in {path}); if they are sound, lower lr or set clip_norm.",
        )

    def _batches(self, epoch: int) -> Iterator[tuple[list[int], Any]]:
        """All processes' item numbers and this one's batches, from the current step to the end of the epoch."""
        self.data.set_epoch(epoch)
        order = loading.epoch_order(len(self.dataset), epoch, self.config.seed)[
            : self.steps_per_epoch * self.items_per_step
        ]
        shape = (self.steps_per_epoch, self.config.accumulate, self.fabric.world_size, self.config.batch_size)
        ahead = order.reshape(shape)[self.step % self.steps_per_epoch :]
        everyone = loading.Rows(ahead.reshape(-1, shape[2] * shape[3]))
        batches = loading.Rows(ahead[:, :, self.fabric.global_rank].reshape(-1, shape[3]))
        loaded = loading.batches(self.dataset, batches, self.data.collate, self.config.workers, seed=epoch)
        return zip(everyone, loaded, strict=True)

    # --- validation and state

    def _validation_is_due(self) -> bool:
        every = self.config.validate_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total

    def _validate(self) -> dict[str, float]:
        """Score, keep the weights if they are the best so far, and write metrics.json."""
        with self.average.applied_to(self.method) if self.average else contextlib.nullcontext():
            self.method.eval()
            with torch.no_grad():
                metrics = {name: float(value) for name, value in self.data.validate(self.method).items()}
            metrics = self.fabric.broadcast(metrics)
            if self._is_best(metrics) and self.fabric.is_global_zero:
                weights.save(self.out / "best.safetensors", self.method)
        self.method.train()
        self.method.after_validation(metrics)
        row = {"step": self.step, "epoch": (self.step - 1) // self.steps_per_epoch, **metrics}
        is_best = self._is_best(metrics)
        self.best, self.stale = (row, 0) if is_best else (self.best, self.stale + 1)
        self.history.append(row)
        if self.fabric.is_global_zero:
            rows = [finite_or_none(row) for row in self.history]
            best = finite_or_none(cast(dict[str, float], self.best))
            write_json(self.out / "metrics.json", {"monitor": self.data.monitor, "best": best, "history": rows})
        return metrics

    def _is_best(self, metrics: dict[str, float]) -> bool:
        if self.data.monitor not in metrics:
            raise SentioError(
                f"Validation gave {', '.join(metrics) or 'nothing'}, but {self.data.monitor!r} is monitored."
            )
        if self.best is None or math.isnan(self.best[self.data.monitor]):
            return True
        value, best = metrics[self.data.monitor], self.best[self.data.monitor]
        return value > best if self.data.higher_is_better else value < best

    def _any_process(self, here: bool) -> bool:
        """Whether any process says so: they must save, and stop, at the same step."""
        if self.fabric.world_size == 1:
            return here
        return bool(self.fabric.all_reduce(torch.tensor(float(here)), reduce_op="sum"))

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must share with the run it goes on with; the batch is that of all processes."""
        config = {key: value for key, value in to_dict(self.config).items() if key not in ("workers", "device")}
        config["batch_size"] *= self.fabric.world_size
        method = {"system": self.method.name, **to_dict(self.method.config)}
        identity = {"fit": config, "model": method, "items": len(self.dataset)}
        return cast(dict[str, Any], json.loads(json.dumps(identity)))  # tuples become lists, as in the file

    def _save(self) -> None:
        drawn = processes.gather(checkpoints.rng_state(self.fabric.device))
        stacked = {name: torch.stack([own[name] for own in drawn]) for name in drawn[0]}
        random_states = stacked if len(drawn) > 1 else drawn[0]
        if self.fabric.is_global_zero:
            optimizer, rest = checkpoints.split_optimizer(self.optimizer)
            tensors = checkpoints.with_prefix("model", self.method.state_dict())
            tensors |= checkpoints.with_prefix("optimizer", optimizer)
            tensors |= checkpoints.with_prefix("random", random_states)
            if self.average:
                tensors |= checkpoints.with_prefix("average", self.average.state)
            info = {
                "identity": self._identity(),
                "processes": self.fabric.world_size,
                "step": self.step,
                "optimizer": rest,
                "scaler": self.fabric.strategy.precision.state_dict(),
                "best": self.best,
                "stale": self.stale,
                "history": self.history,
                "description": self.method.description(),
            }
            checkpoints.save(self.out / "checkpoints", self.step, tensors, info)
        self.fabric.barrier()

    def _start(self, resume: bool) -> None:
        """Go on from the newest checkpoint, or see that there is none to be overwritten."""
        folder = self.out / "checkpoints"
        if not resume:
            refuse_begun(self.out)
            return
        found = checkpoints.load_newest(folder)
        if found is None:
            checkpoints.log.warning("There is no checkpoint in %s: starting at the first step.", folder)
            return
        tensors, info = found
        checkpoints.refuse_differences(info["identity"], self._identity(), folder)
        self.method.load_state_dict(checkpoints.under_prefix("model", tensors))
        optimizer = checkpoints.under_prefix("optimizer", tensors)
        checkpoints.join_optimizer(self.optimizer, optimizer, info["optimizer"])
        if self.average:
            self.average.state = {
                name: value.to(self.fabric.device)
                for name, value in checkpoints.under_prefix("average", tensors).items()
            }
        self.fabric.strategy.precision.load_state_dict(info["scaler"])
        self.step, self.best, self.stale = info["step"], info["best"], info["stale"]
        self.history = info["history"]
        self._draw_on(checkpoints.under_prefix("random", tensors), info.get("processes", 1))

    def _draw_on(self, states: dict[str, Tensor], before: int) -> None:
        """Go on drawing at random where the processes, of which there were ``before``, have stopped."""
        rank, now = self.fabric.global_rank, self.fabric.world_size
        if before != now and rank == 0:
            drawn = "what is drawn at random, as in dropout, differs from what it would have been"
            checkpoints.log.warning("The run had processes: %d, and goes on with %d; %s.", before, now, drawn)
        if rank >= before:
            seed_everything(self.config.seed + self.step + rank)
            return
        own = {name: value[rank] for name, value in states.items()} if before > 1 else states
        checkpoints.set_rng_state(own, self.fabric.device)
