"""VqaTrainer: transformers.Trainer for packed rows, with checkpoints that are whole or absent."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from vqa_core.config import TrainSettings
from vqa_core.files import InputError, write_json
from vqa_core.model.sharding import gathered, is_spread, load_optimizer_state, optimizer_state, whole
from vqa_core.model.stages import load_trained, not_finite, trained_tensors
from vqa_core.processes import process_count
from vqa_core.runs.checkpoints import PLAN, keep_only, seal, steps_below
from vqa_core.space import check_space
from vqa_core.stops import Stops
from vqa_core.training.control import any_process
from vqa_core.training.data import TrainingBatches
from vqa_core.training.divergence import StepHealth, drop_unproven
from vqa_core.training.feed.left_out import LeftOut
from vqa_core.training.feed.step_batches import BLANK, StepBatches
from vqa_core.training.feed.transport import Collator
from vqa_core.training.losses.packed import PackedLoss
from vqa_core.training.saving import (
    DUE,
    VALIDATION,
    checkpoint_bytes,
    validation_due,
    validation_of,
    whole_or_absent,
)
from vqa_core.training.workers import deaf_children, set_up_workers

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What VqaTrainer calls.

    `validate` returns metrics, among them `accuracy`. `log` takes a step, the seconds since the start and metrics; only
    the first of several processes has it. `plan` describes, for a step, what its checkpoint was planned with. `stops`
    cuts a validation short.
    """

    validate: Callable[[], dict[str, float]] | None
    log: Callable[[int, float, dict[str, Any]], None] | None
    plan: Callable[[int], dict[str, Any]]
    stops: Stops = field(default_factory=Stops)


class VqaTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose loss is the mean over all answer tokens of a step, and whose checkpoints are sealed.

    `cut_short` says whether a validation was, by a stop. Raises InputError if the training diverges
    (vqa_core/training/divergence.py), and where checkpoints can't be written; Stopped, where a stop cuts short the
    validation that a checkpoint was left with.
    """

    def __init__(
        self,
        module: PackedLoss,
        args: TrainingArguments,
        batches: TrainingBatches,
        left_out: LeftOut,
        settings: TrainSettings,
        hooks: Hooks,
    ):
        self.packed, self.settings, self.hooks = module, settings, hooks
        self.control: Any
        self.started = time.monotonic()
        self.health = StepHealth(settings.max_skipped_steps)
        self.batches = StepBatches(batches, left_out, settings.workers, process_count())
        self._unproven = False  # whether no step has shown yet that the newest checkpoint gives a finite loss
        self._due = False  # whether this step is to be validated
        self.cut_short = self._loading = False
        # `evaluate` below needs no dataset, but the Trainer insists on one
        super().__init__(model=module, args=args, train_dataset=batches, eval_dataset=batches, data_collator=Collator())
        self.is_distributed_loading_by_transformers = is_spread(module)  # else it would be wrapped in DDP
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the whole step, see compute_loss

    # -- loss ----------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        set_up_workers(loader)
        return loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """The batches of one optimiser step, and the number of their supervised tokens in all processes.

        Where they can't be had, the steps that are done are saved before the error is raised.
        """
        load = super().get_batch_samples

        def fetch() -> list[dict[str, Any]]:
            with nullcontext() if self._loading else deaf_children():  # the first call starts the workers
                return list(load(epoch_iterator, num_batches, device)[0])

        try:
            samples = self.batches.fetch(fetch, self.state.global_step, device)
        except Exception:
            self._save_steps_done()
            raise
        self._loading = True
        return samples, torch.tensor(max(self.batches.tokens, 1), device=device)

    def _save_steps_done(self) -> None:
        step = self.state.global_step
        if step and not self.health.in_a_row and not (Path(self.args.output_dir) / f"checkpoint-{step}").is_dir():
            logger.info("Saving step %d before the training ends.", step)
            self._save_checkpoint(self.model, trial=None)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        is_blank = inputs.pop(BLANK, False)
        outputs = model(**inputs)
        # gradients are averaged over processes, so each process scales its sum by their number
        loss = outputs["loss"] / num_items_in_batch * self.args.world_size
        loss = loss * 0 if is_blank else loss
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.health.see_loss(super().training_step(*args, **kwargs))

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> float:
        """Called once per step, when its gradient is complete and before the optimiser uses it."""
        norm = float(super()._get_grad_norm(model, grad_norm=grad_norm))
        if not self.batches.tokens:
            self.health.see_empty_step()
            model.zero_grad()
        elif self.health.see_step(self.state.global_step + 1, norm):
            self._prove_checkpoint()
        else:
            model.zero_grad()  # AdamW passes over weights without a gradient
        return norm

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Log, save and then validate: whatever ends the validation, the step's checkpoint is there.

        A model that gives no finite loss is neither validated nor saved; too many such steps are an error.
        """
        control, healthy = self.control, not self.health.in_a_row
        self._due, control.should_evaluate = control.should_evaluate and healthy, False
        control.should_save = (control.should_save or self._due) and healthy
        super()._maybe_log_save_evaluate(*args, **kwargs)
        last = self.state.global_step >= self.state.max_steps or self.control.should_training_stop
        if self.health.in_a_row >= (1 if last else self.health.patience):
            self._end_diverged()
        if self._due:
            self._validate()

    def _end_diverged(self) -> None:
        step, folder = self.state.global_step, Path(self.args.output_dir)
        if step > self._globalstep_last_logged:
            self.log({"loss": 0.0, "learning_rate": self._get_learning_rate()})
        if self._unproven and self.is_world_process_zero():
            drop_unproven(folder, step - self.health.in_a_row)
        self.accelerator.wait_for_everyone()
        raise self.health.diverged(folder, self.settings.learning_rate)

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Leave the gradients of spread weights unreduced until the step's last batch."""
        self.packed.set_requires_gradient_sync(False)  # type: ignore[operator]
        try:
            yield
        finally:
            self.packed.set_requires_gradient_sync(True)  # type: ignore[operator]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a learning rate each for projector and language model; norms and biases don't decay."""
        named = [(name, p) for name, p in (model or self.model).named_parameters() if p.requires_grad]
        language = self.settings.language_learning_rate or self.settings.learning_rate
        groups = []
        for in_projector, rate in ((True, self.settings.learning_rate), (False, language)):
            for decays in (True, False):
                chosen = [p for name, p in named if ("projector" in name) == in_projector and (p.ndim > 1) == decays]
                if chosen:
                    decay = self.settings.weight_decay if decays else 0.0
                    groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
        return self.optimizer

    # -- validation and logging ----------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Generate answers to the validation questions, as a user would, rather than score the given ones.

        What is found is kept beside the checkpoint of the step. Cut short by a stop, it stays due.
        """
        assert self.hooks.validate is not None
        self.model.eval()
        cuda = [self.args.device] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(cuda), gathered(self.model):  # a resumed training validates once more
            found = self.hooks.stops.heeding(self.hooks.validate)
        (self.cut_short,) = any_process(self.args.device, found is None)
        if found is None or self.cut_short:
            self.hooks.stops.ask()
            self.control.should_training_stop = True
            return
        if self.is_world_process_zero():
            write_json(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / VALIDATION, found)
        self._choose(found)
        self.log({f"eval_{name}": value for name, value in found.items()})

    def _choose(self, found: dict[str, Any]) -> None:
        """Note whether this step is the best so far. Of equal ones the later is better: it was trained longer."""
        state, accuracy = self.state, float(found["accuracy"])
        if state.best_metric is None or accuracy >= state.best_metric:
            state.best_metric, state.best_global_step = accuracy, state.global_step
            if self.is_world_process_zero():
                self._drop_others()

    def _prepare_for_training(self, max_steps: Any, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        """Called once the checkpoint is loaded: first comes the validation that is due since."""
        prepared = super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        if resume_from_checkpoint and validation_due(Path(resume_from_checkpoint)):
            if found := validation_of(Path(resume_from_checkpoint)):
                self._choose(found)
            elif self.hooks.validate:
                self._validate()
                self.hooks.stops.check()
        return prepared

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002
        # not the summary at the end, which takes batches for samples
        if "loss" in logs:
            logs = self.health.describe(logs)
        if self.hooks.log and "train_runtime" not in logs:
            self.hooks.log(self.state.global_step, time.monotonic() - self.started, logs)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write under another name, seal and rename; keep only the last and the best checkpoint.

        The one before the last stays until the next step gives a finite loss. Raises InputError for weights that are
        not finite and for a drive without room, before anything is written, and for one that can't be written.
        """
        folder, step = Path(self.args.output_dir), self.state.global_step
        writing, target = folder / f".writing-{step}", folder / f"checkpoint-{step}"
        needed = checkpoint_bytes(self.packed.vlm)
        if self.is_world_process_zero() and writing.exists():
            shutil.rmtree(writing)
        self._check_space(folder, needed)
        self.args.output_dir = str(writing)
        try:
            with whole_or_absent(writing, target, needed):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    due = {DUE: True} if self._due else {}
                    write_json(writing / target.name / PLAN, self.hooks.plan(step) | due)
                    seal(writing / target.name, target)
        finally:
            self.args.output_dir = str(folder)
        if self.is_world_process_zero():
            self._drop_others()
        self._unproven = not self._is_last()
        self.accelerator.wait_for_everyone()

    def _check_space(self, folder: Path, needed: int) -> None:
        """Raise InputError in all processes if the first has no room for a checkpoint."""
        problem: InputError | None = None
        if self.is_world_process_zero():
            try:
                check_space(folder, needed, f"The checkpoint of step {self.state.global_step}")
            except InputError as error:
                problem = error
        if any_process(self.args.device, problem is not None)[0]:
            raise problem or InputError(f"{folder} has no room for a checkpoint. Make room, then add --resume.")

    def _drop_others(self) -> None:
        """Delete all checkpoints but the last, the best and, while the last is unproven, the one before it."""
        folder, step = Path(self.args.output_dir), self.state.global_step
        before = [earlier for earlier, _ in steps_below(folder) if earlier < step and not self._is_last()]
        keep_only(folder, {step, self.state.best_global_step or step, *before[-1:]})

    def _is_last(self) -> bool:
        """Whether no step of this training will show what the newest checkpoint is worth."""
        return bool(self.state.global_step >= self.state.max_steps or self.control.should_training_stop)

    def _prove_checkpoint(self) -> None:
        """After a step with a finite loss, the checkpoint before the newest is not needed any more."""
        if self._unproven and self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            steps = [step for step, _ in steps_below(folder)]
            keep_only(folder, {*steps[-1:], self.state.best_global_step or steps[-1]})
        self._unproven = False

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the trained weights, gathered if FSDP2 spreads them. The frozen ones stay where they came from."""
        tensors = {name: whole(value) for name, value in trained_tensors(self.packed.vlm).items()}
        if name := not_finite(tensors):
            raise self.health.diverged(Path(output_dir or "").parents[1], self.settings.learning_rate, weights=name)
        if self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            save_file(tensors, Path(output_dir) / "trained.safetensors", metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:  # noqa: ARG002
        source = Path(resume_from_checkpoint) / "trained.safetensors"
        load_trained(self.packed.vlm, load_file(source), source)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not is_spread(self.packed):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = optimizer_state(self.model, self.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not is_spread(self.packed) or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            load_optimizer_state(
                self.model, self.optimizer, torch.load(Path(checkpoint) / "optimizer.pt", weights_only=True)
            )
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))
        if checkpoint is not None:
            self._follow_schedule()

    def _follow_schedule(self) -> None:
        """Give the next step the rate of this schedule: the optimiser was saved with that of the old length."""
        schedule: Any = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)
        for group, base, rate in zip(self.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
            group["lr"] = base * rate(schedule.last_epoch)
        schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]  # what is logged
