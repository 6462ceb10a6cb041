"""The loss of packed rows, and VqaTrainer: transformers.Trainer for them."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from vqa_core.config import TrainSettings
from vqa_core.files import InputError, write_json
from vqa_core.model.packing import check_backend, plain_mask, shared_prefix_mask
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import gathered, is_spread, load_optimizer_state, optimizer_state, whole
from vqa_core.model.stages import load_trained, not_finite, trained_tensors
from vqa_core.processes import process_count
from vqa_core.runs.checkpoints import PLAN, keep_only, seal, steps_below
from vqa_core.training.data import TrainingBatches
from vqa_core.training.divergence import StepHealth, drop_unproven
from vqa_core.training.left_out import LeftOut
from vqa_core.training.step_batches import BLANK, StepBatches
from vqa_core.training.workers import Batches

logger = logging.getLogger("vqa")


class PackedLoss(nn.Module):
    """A Vlm as one module whose `forward` is the loss, so that DDP and FSDP wrap all of it.

    The head runs on supervised positions only: with a vocabulary of 49,152 it is a quarter of a small model's work.
    """

    def __init__(self, vlm: AnyVlm, *, plain: bool = False) -> None:
        """`plain`: no row has several questions, so FlashAttention is exact; a row that has several raises an error."""
        super().__init__()
        if not plain:
            check_backend(vlm.attention)
        self.vlm, self.plain = vlm, plain
        self.model = vlm.model

    def forward(
        self, pixel_values: Any, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Sum of the cross entropies of all targets.

        Args:
            pixel_values: as `encode_images` takes them, (B, 3, side, side) for a Vlm; row b shows image b.
            input_ids, segment_ids, targets: (B, T), position_ids (B, T) or (3, B, T), see vqa_core/model/packing.py.

        Returns:
            `loss`, the sum, and `tokens`, the number of targets.
        """
        with self.vlm.autocast():
            return self._summed(self.vlm.encode_images(pixel_values), input_ids, segment_ids, position_ids, targets)

    def _summed(
        self, image_tokens: Tensor, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """What `forward` returns, for pictures that are encoded already."""
        vlm = self.vlm
        embeds = vlm.embed(input_ids, image_tokens)  # (B, T, D)
        if self.plain:
            mask = plain_mask(segment_ids)  # (B, T)
        else:
            mask = shared_prefix_mask(segment_ids, segment_ids, vlm.attention, embeds.dtype)  # (B, 1, T, T)
        hidden = vlm.language_model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state  # (B, T, D)
        keep = targets >= 0
        logits = self.model.lm_head(hidden[keep]).float()  # (supervised, V)
        loss = nn.functional.cross_entropy(logits, targets[keep], reduction="sum")
        return {"loss": loss, "tokens": keep.sum()}


@dataclass(frozen=True, slots=True)
class Hooks:
    """What VqaTrainer calls.

    `validate` returns metrics, among them `accuracy`. `log` takes a step, the seconds since the start and metrics; only
    the first of several processes has it. `plan` describes, for a step, what its checkpoint was planned with.
    """

    validate: Callable[[], dict[str, float]] | None
    log: Callable[[int, float, dict[str, Any]], None] | None
    plan: Callable[[int], dict[str, Any]]


class VqaTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose loss is the mean over all answer tokens of a step, and whose checkpoints are sealed.

    Raises InputError if the training diverges (vqa_core/training/divergence.py).
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
        # `evaluate` below needs no dataset, but the Trainer insists on one
        super().__init__(model=module, args=args, train_dataset=batches, eval_dataset=batches, data_collator=Batches())
        self.is_distributed_loading_by_transformers = is_spread(module)  # else it would be wrapped in DDP
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the whole step, see compute_loss

    # -- loss ----------------------------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """The batches of one optimiser step, and the number of their supervised tokens in all processes.

        Where they can't be had, the steps that are done are saved before the error is raised.
        """
        fetch = super().get_batch_samples
        try:
            samples = self.batches.fetch(
                lambda: fetch(epoch_iterator, num_batches, device)[0], self.state.global_step, device
            )
        except Exception:
            self._save_steps_done()
            raise
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
        """A model that gives no finite loss is neither validated nor saved; too many such steps are an error."""
        if self.health.in_a_row:
            self.control.should_evaluate = self.control.should_save = False
        super()._maybe_log_save_evaluate(*args, **kwargs)
        last = self.state.global_step >= self.state.max_steps or self.control.should_training_stop
        if self.health.in_a_row >= (1 if last else self.health.patience):
            self._end_diverged()

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

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Generate answers to the validation questions, as a user would, rather than score the given ones."""
        assert self.hooks.validate is not None
        self.model.eval()
        with gathered(self.model):
            found = self.hooks.validate()
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:  # noqa: ARG002
        # not the summary at the end, which takes batches for samples
        if "loss" in logs:
            logs = self.health.describe(logs)
        if self.hooks.log and "train_runtime" not in logs:
            self.hooks.log(self.state.global_step, time.monotonic() - self.started, logs)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:  # noqa: ARG002
        """Whether this step is the best so far. Of equal steps the later is better, as it was trained for longer."""
        accuracy = metrics["eval_accuracy"]
        if self.state.best_metric is not None and accuracy < self.state.best_metric:
            return False
        self.state.best_metric, self.state.best_global_step = accuracy, self.state.global_step
        return True

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write under another name, seal and rename; keep only the last and the best checkpoint.

        The one before the last stays until the next step gives a finite loss. Raises InputError for weights that are
        not finite, before anything is written.
        """
        folder = Path(self.args.output_dir)
        writing = folder / f".writing-{self.state.global_step}"
        if self.is_world_process_zero() and writing.exists():
            shutil.rmtree(writing)
        self.accelerator.wait_for_everyone()
        self.args.output_dir = str(writing)
        try:
            super()._save_checkpoint(model, trial)
        except InputError:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        finally:
            self.args.output_dir = str(folder)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            step = self.state.global_step
            write_json(writing / f"checkpoint-{step}" / PLAN, self.hooks.plan(step))
            seal(writing / f"checkpoint-{step}", folder / f"checkpoint-{step}")
            before = [earlier for earlier, _ in steps_below(folder) if earlier < step and not self._is_last()]
            keep_only(folder, {step, self.state.best_global_step or step, *before[-1:]})
        self._unproven = not self._is_last()
        self.accelerator.wait_for_everyone()

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
