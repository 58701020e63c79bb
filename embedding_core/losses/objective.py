"""The training loss of one configuration: a base loss plus weighted KoLeo, with a meter of its terms."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults, unknown
from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.functional import koleo_terms
from embedding_core.losses.modules import BaseLoss, Classifier
from embedding_core.losses.plugin_loss import plugin_loss
from embedding_core.metrics.meter import Meter
from embedding_core.plugins.builtin import LOSSES
from embedding_core.seeding import stream


class KoLeoSettings(NamedTuple):
    """KoLeo's place in the objective."""

    weight: float
    top_k: int
    group_size: int | None
    exclude_same_class: bool


class Objective(nn.Module):
    """Loss of one neighbourhood; holds the parameters of the loss itself, such as ArcFace's proxies."""

    def __init__(self, base: BaseLoss, koleo: KoLeoSettings | None) -> None:
        super().__init__()
        self.base = base
        self.koleo = koleo

    @classmethod
    def of(cls, config: TrainConfig, *, classes: Int64[Tensor, " c"]) -> "Objective":
        """The objective that `config` asks for; `classes` are the labels trained on, ascending."""
        koleo = None
        if config.koleo_weight is not None:
            koleo = KoLeoSettings(
                config.koleo_weight, config.koleo_top_k, config.koleo_group_size, config.koleo_exclude_same_class
            )
        return cls(base_loss(config, classes=classes), koleo)

    def forward(
        self, z: Float[Tensor, "m v d"], labels: Int64[Tensor, "m v"], meter: Meter, draws: Float64[Tensor, "r m*v"]
    ) -> Float[Tensor, ""]:
        """Loss of one neighbourhood; its terms go to `meter`, weighted by examples.

        Args:
            z: embeddings of m examples of v images, of unit length unless `TrainConfig.similarity` says otherwise.
            labels: class of each image; -1 where it has none.
            meter: counts the terms.
            draws: what the base loss draws at random, by its `draws`.
        """
        loss: Tensor = self.base(z, labels, meter, draws)
        weight = float(len(z))
        meter.add("loss_base", loss, weight)
        for name, bound in self.base.bounds(len(z)).items():  # of this neighbourhood: an epoch's last may be smaller
            meter.add(f"loss_{name}", bound, weight)
        rows = self._koleo_rows(labels.numel())
        if self.koleo is not None and rows:
            flat_labels = labels.flatten()[:rows]
            terms = koleo_terms(
                z.flatten(0, 1)[:rows],
                top_k=self.koleo.top_k,
                group_size=self.koleo.group_size,
                labels=flat_labels,
                exclude_same_class=self.koleo.exclude_same_class,
            )
            same_class = (flat_labels[terms.neighbours[:, 0]] == flat_labels) & (flat_labels >= 0) & terms.valid
            counted = terms.valid.sum().clamp(min=1)
            distance = terms.distances.mean(dim=1).where(terms.valid, 0).sum() / counted
            loss = loss + self.koleo.weight * terms.loss
            meter.add("loss_koleo", terms.loss, weight)
            meter.add("koleo_nn_same_class_frac", same_class.sum() / counted, weight)
            meter.add("koleo_nn_dist_mean", distance, weight)
        meter.add("loss_total", loss, weight)
        return loss

    def settings(self) -> dict[str, Any]:
        """The `TrainConfig` fields that this objective can tell."""
        koleo = self.koleo
        settings: dict[str, Any] = {"koleo": koleo is not None, "koleo_weight": koleo.weight if koleo else None}
        if koleo is not None:
            settings |= {f"koleo_{name}": value for name, value in koleo._asdict().items()}
        return settings | self.base.settings()

    def _koleo_rows(self, n: int) -> int:
        """Rows that have `top_k` others in their group: a short last batch may leave a few without, or all."""
        if self.koleo is None:
            return 0
        group = min(self.koleo.group_size or n, n)
        if group <= self.koleo.top_k:
            return 0
        return n - n % group if n % group <= self.koleo.top_k else n


def base_loss(config: TrainConfig, *, classes: Int64[Tensor, " c"]) -> BaseLoss:
    """The base loss that `config` asks for; what it draws, such as proxies, is from the block's own stream.

    Raises:
        Faults: a loss that is not declared, or a plug-in's that cannot be made.
    """
    if config.loss not in LOSSES:
        raise Faults([unknown("loss", config.loss, LOSSES)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(config.seed, "loss initialisation"))
        given = {"embedding_dim": config.embedding_dim, "num_classes": len(classes)}
        made = LOSSES.make(config.loss, config.to_flat(), **given)
    if isinstance(made, BaseLoss):
        return made
    if isinstance(made, ArcFace | SoftmaxClassifier):
        return Classifier(config.loss, made, classes)
    return plugin_loss(LOSSES[config.loss], made, dict(config.of_plugins), classes)
