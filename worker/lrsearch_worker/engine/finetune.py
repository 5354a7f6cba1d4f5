"""One finetune: the source network trained on a target with given stage rates."""

import math
from collections.abc import Callable, Generator, Iterator
from time import perf_counter
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrsearch.contract.rates import INNER_STAGES, STAGES, StageRates
from lrsearch.contract.sources import Card
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.device import out_of_memory
from lrsearch_worker.engine.checkpoints import TrainingState, require_fit
from lrsearch_worker.engine.metrics import Evaluation
from lrsearch_worker.engine.optimiser import SGD
from lrsearch_worker.engine.rates import freeze, parameter_groups, set_training_modes
from lrsearch_worker.engine.repeatable import repeatable
from lrsearch_worker.engine.schedule import factor
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.weights import to_bytes

CHECK_EVERY_STEPS: Final = 16
"""Losses are looked at this often, because each look makes the device wait."""


class DivergedError(Exception):
    """The loss is no longer finite.

    Attributes:
        epoch: In which it happened, from 1.
        step: Optimiser step at which the loss was first not finite, from 1 over the whole trial.
    """

    def __init__(self, epoch: int, step: int, loss: float, kind: str = "training") -> None:
        self.epoch = epoch
        self.step = step
        super().__init__(f"the {kind} loss was {loss} in epoch {epoch}, at step {step}")


class TooLittleMemoryError(Exception):
    """The device's memory does not suffice, and the batch may not be cut."""


class Finetune:
    """A network in training on a task.

    The same task, rates and device give the same numbers again (on the CPU, with the same number
    of threads; on CUDA, with cuDNN's deterministic kernels).

    Args:
        task: What the trials of a job have in common.
        rates: What this one tries.
        micro_batch: Images that are computed at a time. A smaller number than the recipe's batch
            size adds up gradients to the same step, which is right only where no batch
            normalisation is in training mode. By default, batches are whole for as long as
            memory suffices, and halved then.
        clock: Tells the seconds by which epochs are timed.

    Raises:
        ValueError: `micro_batch` is not positive, or given where normalisation trains.
    """

    def __init__(
        self,
        task: LoadedTask,
        rates: StageRates,
        micro_batch: int | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.task = task
        self.rates = rates
        self.micro_batch = micro_batch
        self._clock = clock
        self._prefix = task.shared_prefix(rates)
        self._network = task.network(rates.frozen_prefix)
        self._epochs = 0
        self._steps = 0
        freeze(self._network, rates)
        self._optimiser = SGD(
            parameter_groups(self._network, rates),
            momentum=task.recipe.momentum,
            weight_decay=task.recipe.weight_decay,
        )
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch is {micro_batch}; it must be at least 1")
        if micro_batch is not None and self._normalisation_trains():
            raise ValueError(
                f"micro_batch is {micro_batch}, but batch normalisation trains in this network "
                "and needs whole batches; freeze its stages or leave micro_batch out"
            )

    def epochs(self) -> Iterator[EpochMetrics]:
        """Train and yield after each epoch; a caller may stop at any, and resume elsewhere.

        Raises:
            DivergedError: The loss is no longer finite.
            TooLittleMemoryError: A batch does not fit and may not be cut.
        """
        return (metrics for metrics in self.steps() if metrics is not None)

    def steps(self) -> Iterator[EpochMetrics | None]:
        """As `epochs`, and yield nothing after each step of the optimiser.

        The steps may be taken by different threads, one after the other.
        """
        for epoch in range(self._epochs, self.task.recipe.epochs):
            started = self._clock()
            train_loss = yield from self._train(epoch)
            validation = self._validate()
            if not math.isfinite(validation.loss):
                raise DivergedError(epoch + 1, self._steps, validation.loss, "validation")
            self._epochs = epoch + 1
            yield EpochMetrics(
                epoch=epoch + 1,
                train_loss=train_loss,
                val_loss=validation.loss,
                val_top1=validation.top1,
                seconds=self._clock() - started,
            )

    @property
    def network(self) -> StagedNetwork:
        """Itself, not a copy; in evaluation mode between epochs."""
        return self._network

    def weights(self) -> dict[str, Tensor]:
        """All parameters and buffers as they are now: copies, on the CPU, float32."""
        return {n: t.detach().cpu().clone() for n, t in self._network.state_dict().items()}

    def result(self, card: Card | None = None) -> bytes:
        """The network as it is now: a safetensors file that can be a source in its turn."""
        return to_bytes(self._network.state_dict(), self.task.result_spec(card))

    def state(self) -> TrainingState:
        """Where the training is, between two epochs: copies, from which another can resume."""
        buffers = ((n, self._momentum(p)) for n, p in self._network.named_parameters())
        return TrainingState(
            epochs=self._epochs,
            steps=self._steps,
            micro_batch=self.micro_batch,
            tensors={n: t.to("cpu", copy=True) for n, t in self._training_tensors().items()},
            momentum={n: b.to("cpu", copy=True) for n, b in buffers if b is not None},
        )

    def resume(self, state: TrainingState) -> None:
        """Go on where a finetune of the same task and rates was.

        Raises:
            CheckpointError: The state is of another network; nothing has been changed.
        """
        tensors = self._training_tensors()
        parameters = dict(self._network.named_parameters())
        require_fit(state, tensors, tensors.keys() & parameters.keys())
        for name, tensor in tensors.items():
            tensor.copy_(state.tensors[name])
        for name, buffer in state.momentum.items():
            parameter = parameters[name]
            # In its parameter's order in memory, as the optimiser wants it.
            own = torch.empty_like(parameter, requires_grad=False).copy_(buffer)
            self._optimiser.state[parameter]["momentum_buffer"] = own
        self._epochs, self._steps = state.epochs, state.steps
        self.micro_batch = state.micro_batch

    def _training_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of the stages that train: themselves, without gradients."""
        tensors = self._network.state_dict().items()
        return {n: t for n, t in tensors if self.rates[self._network.stage_of(n)] > 0.0}

    def _momentum(self, parameter: nn.Parameter) -> Tensor | None:
        buffer: Tensor | None = self._optimiser.state.get(parameter, {}).get("momentum_buffer")
        return buffer

    def _train(self, epoch: int) -> Generator[None, None, float]:
        """One pass over the training images; returns the mean loss."""
        recipe = self.task.recipe
        for group in self._optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor(recipe.schedule, epoch, recipe.epochs)
        set_training_modes(self._network, self.rates)
        losses: list[float] = []
        sizes: list[int] = []
        unseen: list[Tensor] = []
        for inputs, labels in self.task.training_batches(epoch, self._prefix):
            unseen.append(self._step(inputs, labels))
            sizes.append(len(labels))
            if len(unseen) == CHECK_EVERY_STEPS:
                losses += self._finite(unseen, epoch)
                unseen.clear()
            yield
        losses += self._finite(unseen, epoch)
        return math.fsum(x * n for x, n in zip(losses, sizes, strict=True)) / sum(sizes)

    def _validate(self) -> Evaluation:
        self._network.eval()
        with repeatable():
            return self.task.score(self._rest, "validation", self._prefix)

    def _rest(self, inputs: Tensor) -> Tensor:
        """The stages after the frozen ones."""
        return self._network.run(inputs, self._prefix, len(STAGES))

    def _finite(self, losses: list[Tensor], epoch: int) -> list[float]:
        """The losses of the latest steps as numbers."""
        if not losses:
            return []
        values: list[float] = torch.stack(losses).tolist()
        before = self._steps
        self._steps += len(values)
        for i, value in enumerate(values, start=1):
            if not math.isfinite(value):
                raise DivergedError(epoch + 1, before + i, value)
        return values

    def _step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """One step of the optimiser; the batch's mean loss."""
        with repeatable():
            while True:
                try:
                    loss = self._accumulate(inputs, labels)
                    break
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    self._shrink(len(labels), error)
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)  # companions may need the memory
        return loss

    def _accumulate(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Gradients of the batch's mean loss, from one micro-batch after another."""
        self._optimiser.zero_grad(set_to_none=True)  # of an attempt that did not fit
        size = self.micro_batch or len(labels)
        total = torch.zeros((), device=labels.device)
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            logits = self._rest(inputs[part])
            loss = F.cross_entropy(logits, labels[part], reduction="sum") / len(labels)
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    def _shrink(self, batch: int, error: BaseException) -> None:
        """Halve the micro-batch after `error`, if that is right and possible."""
        size = min(self.micro_batch or batch, batch)
        if self._normalisation_trains():
            raise TooLittleMemoryError(
                f"a batch of {batch} images does not fit into the memory of the {self.task.device} "
                "device, and batch normalisation trains in this network, so that the batch may "
                f"not be cut; lower batch_size ({self.task.recipe.batch_size}) or input_size "
                f"({self.task.images.side})"
            ) from error
        if size == 1:
            raise TooLittleMemoryError(
                f"not even one image fits into the memory of the {self.task.device} device; "
                f"lower input_size ({self.task.images.side})"
            ) from error
        self.micro_batch = (size + 1) // 2
        if self.task.device.type == "cuda":
            torch.cuda.empty_cache()

    def _normalisation_trains(self) -> bool:
        return any(
            isinstance(module, nn.modules.batchnorm._BatchNorm)
            for stage in INNER_STAGES
            if self.rates[stage] > 0.0
            for module in self._network.stage(stage).modules()
        )
