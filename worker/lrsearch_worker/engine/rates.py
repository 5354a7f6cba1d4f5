"""From stage rates to a network's parameters."""

from typing import Any

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch_worker.networks.staged import StagedNetwork


def freeze(network: StagedNetwork, rates: StageRates) -> None:
    """Let no gradient be computed for the parameters of stages of rate 0."""
    network.check_stages()
    for stage, rate in rates.items():
        network.stage(stage).requires_grad_(rate > 0.0)


def set_training_modes(network: StagedNetwork, rates: StageRates) -> None:
    """Training mode for stages that train; a stage of rate 0 keeps its BatchNorm statistics too."""
    for stage, rate in rates.items():
        network.stage(stage).train(rate > 0.0)


def parameter_groups(network: StagedNetwork, rates: StageRates) -> list[dict[str, Any]]:
    """One group for torch's optimisers a stage that trains: `stage`, `params`, `lr`, `initial_lr`.

    Every parameter of the network is in exactly one group, or in a stage of rate 0.

    Raises:
        ValueError: A parameter belongs to no stage or to two.
    """
    network.check_stages()
    return [
        {
            "stage": stage,
            "params": list(network.stage(stage).parameters()),
            "lr": rates[stage],
            "initial_lr": rates[stage],
        }
        for stage in STAGES
        if rates[stage] > 0.0
    ]
