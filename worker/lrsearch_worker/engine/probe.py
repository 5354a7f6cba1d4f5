"""The probe: a cheap look at a task before any finetune.

Of 200 images at 32 pixels it takes some 5 % of the time of one finetune of 20 epochs.
"""

import math
from collections.abc import Callable
from time import perf_counter
from typing import Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrsearch.contract.datasets import Spread
from lrsearch.contract.probes import HEAD_EPOCHS, Probe, StageCounts, StageRatios
from lrsearch.contract.rates import STAGES, StageRates
from lrsearch_worker.data.batches import batches, inference_batch
from lrsearch_worker.device import out_of_memory
from lrsearch_worker.engine.classifiers import cross_validated_top1, nearest_neighbours, ridge
from lrsearch_worker.engine.optimiser import SGD
from lrsearch_worker.engine.repeatable import repeatable
from lrsearch_worker.engine.schedule import factor
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.seeds import generator

SAMPLE: Final = 2000
"""Images that are looked at, of a larger training split; at least two of each label."""

GRADIENT_IMAGES: Final = 128
GRADIENT_BATCH: Final = 32

HEAD_ONLY: Final = StageRates.of(inner=0.0, head=0.01)
"""The baseline's rates."""


def probe(task: LoadedTask, check: Callable[[], None] = lambda: None) -> Probe:
    """Look at a task's training split as the source network sees it, without augmentation.

    The head is trained as the baseline trains it, on stored features. The gradients are those of
    the network with that head, not of one just initialised, because they say more: on silhouettes
    and on digits (20 images a label, three seeds each) the ratio of `conv1` was 0.066 to 0.095 and
    0.033 to 0.042 with it, but 0.010 to 0.018 and 0.013 to 0.023 without, where what was drawn for
    the head hides the task. Normalisation layers are in evaluation mode, and nothing that the task
    holds is changed.

    Args:
        task: Its training split is looked at.
        check: Called between steps; what it raises ends the probe.

    Raises:
        ValueError: The source's features are not finite.
    """
    started = perf_counter()
    labels = torch.from_numpy(task.images.labels[task.indices.train])
    counts = labels.bincount(minlength=len(task.images.label_names))
    with repeatable():
        network = task.network().eval()
        seen = _sample(task, labels)
        features = _features(task, network, seen, check)
        head = cast(nn.Linear, network.get_submodule(network.head_name))
        losses = _train_head(task, head, features, check)
        ratios = _gradient_ratios(task, network, seen, check)
    check()
    known = features.inputs.cpu().double(), features.labels.cpu()
    stages = {stage: list(network.stage(stage).parameters()) for stage in STAGES}
    shares = counts.double() / len(labels)
    return Probe(
        architecture=task.spec.architecture.name,
        parameters=StageCounts(**{s: sum(p.numel() for p in ps) for s, ps in stages.items()}),
        images=len(labels),
        labels=len(counts),
        images_per_label=Spread(
            min=int(counts.min()),
            median=counts.double().quantile(0.5).item(),
            max=int(counts.max()),
        ),
        input_size=task.images.side,
        label_entropy=_entropy(shares),
        chance=shares.max().item(),
        images_used=len(seen),
        knn_top1=cross_validated_top1(nearest_neighbours, *known),
        linear_top1=cross_validated_top1(ridge, *known),
        head_losses=losses,
        gradient_ratios=ratios,
        seconds=perf_counter() - started,
    )


class _Features(NamedTuple):
    """What enters the head, on the device."""

    inputs: Tensor
    """`(images, features)`, float32."""
    labels: Tensor
    """`(images,)`, int64."""


def _sample(task: LoadedTask, labels: Tensor) -> Tensor:
    """Positions in the training split, in its order, which groups them by label.

    Of a large split, every label's share in a drawn order; two images of each at least.
    """
    counts = labels.bincount()
    limit = max(SAMPLE, 2 * len(counts))
    if len(labels) <= limit:
        return torch.arange(len(labels))
    drawn = torch.randperm(len(labels), generator=generator("probe", task.recipe.seed))
    place = torch.empty(len(labels), dtype=torch.float64)  # within the label, from 0
    for label in range(len(counts)):
        of_label = drawn[labels[drawn] == label]
        place[of_label] = torch.arange(len(of_label), dtype=torch.float64)
    turn = (place + 0.5) / counts[labels]
    turn[place < 2] = 0.0
    return turn.argsort(stable=True)[:limit].sort().values


def _features(
    task: LoadedTask, network: StagedNetwork, positions: Tensor, check: Callable[[], None]
) -> _Features:
    """What enters the last layer, whatever the network does between its stages."""
    head = network.get_submodule(network.head_name)
    prefix = task.shared_prefix(HEAD_ONLY)
    entered: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    try:
        with torch.no_grad():
            size = inference_batch(task.images.side)
            for inputs, batch_labels in task.unaugmented_batches(positions, prefix, size):
                network.run(inputs, prefix, len(STAGES))
                labels.append(batch_labels)
                check()
    finally:
        hook.remove()
    features = _Features(torch.cat(entered), torch.cat(labels))
    if not features.inputs.isfinite().all():
        raise ValueError("the source model's features of the training images are not all finite")
    return features


def _train_head(
    task: LoadedTask, head: nn.Linear, features: _Features, check: Callable[[], None]
) -> list[float]:
    """Train as the baseline does; each epoch's mean loss, as long as it is finite."""
    recipe = task.recipe
    groups = [{"params": list(head.parameters()), "lr": HEAD_ONLY.head}]
    optimiser = SGD(groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    losses: list[float] = []
    for epoch in range(min(recipe.epochs, HEAD_EPOCHS)):
        rate = HEAD_ONLY.head * factor(recipe.schedule, epoch, recipe.epochs)
        optimiser.param_groups[0]["lr"] = rate
        sums: list[Tensor] = []
        for order in batches(len(features.labels), recipe.batch_size, recipe.seed, epoch):
            positions = order.to(task.device)
            logits = head(features.inputs[positions])
            loss = F.cross_entropy(logits, features.labels[positions])
            torch.autograd.backward(loss)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            sums.append(loss.detach() * len(order))
        mean = math.fsum(torch.stack(sums).tolist()) / len(features.labels)
        if not math.isfinite(mean):
            break
        losses.append(mean)
        check()
    return losses


def _gradient_ratios(
    task: LoadedTask, network: StagedNetwork, positions: Tensor, check: Callable[[], None]
) -> StageRatios:
    """Norm of the mean loss's gradient over norm of the weights, by stage.

    A fixed number of images, not of the recipe's batches: the fewer the images, the more of the
    norm is noise.
    """
    order = torch.randperm(len(positions), generator=generator("gradient", task.recipe.seed))
    chosen = positions[order[:GRADIENT_IMAGES]]
    size = GRADIENT_BATCH
    while True:
        try:
            _backward(task, network, chosen, size, check)
            break
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not out_of_memory(error):
                raise
        size //= 2
    return StageRatios(**{stage: _ratio(network.stage(stage)) for stage in STAGES})


def _backward(
    task: LoadedTask,
    network: StagedNetwork,
    positions: Tensor,
    size: int,
    check: Callable[[], None],
) -> None:
    """Gradients of the mean loss, `size` images at a time."""
    network.zero_grad(set_to_none=True)
    for inputs, labels in task.unaugmented_batches(positions, 0, size):
        loss = F.cross_entropy(network(inputs), labels, reduction="sum") / len(positions)
        torch.autograd.backward(loss)
        check()


def _ratio(stage: nn.Module) -> float | None:
    parameters = list(stage.parameters())
    gradient = _norm([p.grad for p in parameters if p.grad is not None])
    weights = _norm([p.detach() for p in parameters])
    ratio = gradient / weights if weights > 0.0 else math.nan
    return ratio if math.isfinite(ratio) else None


def _norm(tensors: list[Tensor]) -> float:
    return math.hypot(*(torch.linalg.vector_norm(t).item() for t in tensors))


def _entropy(shares: Tensor) -> float:
    """Relative to that of equal shares, 0 to 1."""
    if len(shares) == 1:
        return 1.0
    return min(1.0, -(shares * shares.log()).sum().item() / math.log(len(shares)))
