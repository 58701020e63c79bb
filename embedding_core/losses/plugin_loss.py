"""A stranger's loss behind the signature that the loop knows."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from embedding_core.errors import Faults
from embedding_core.losses.modules import BaseLoss, OverClasses
from embedding_core.metrics.meter import Meter
from embedding_core.plugins.declarations import Loss, Value


def plugin_loss(
    declared: Loss, made: Any, settings: Mapping[str, Value], classes: Int64[Tensor, " c"]
) -> "PluginLoss | PluginLossOverClasses":
    """What the loop takes for the loss that a plug-in has made.

    Args:
        declared: by the plug-in.
        made: by its factory: a module or a function of `z` and `labels`.
        settings: what it was made with, by flat name.
        classes: labels trained on, ascending.

    Raises:
        Faults: it cannot be called.
    """
    if not callable(made):
        kind = type(made).__name__
        raise Faults([f"The loss `{declared.name}` must be a module or function of (z, labels), but is a {kind}."])
    if declared.has_parameters:
        return PluginLossOverClasses(declared, made, settings, classes)
    return PluginLoss(declared, made, settings)


class PluginLoss(BaseLoss):
    """`made(z, labels)`, and of `meter`, `draws`, `bounds` and `begin_epoch` what it has."""

    def __init__(self, declared: Loss, made: Callable[..., Any], settings: Mapping[str, Value]) -> None:
        super().__init__()
        self._take(declared, made, settings)

    def _take(self, declared: Loss, made: Callable[..., Any], settings: Mapping[str, Value]) -> None:
        self.name, self.made = declared.name, made
        self._views = declared.views
        self._settings = {name: value for name, value in settings.items() if name in declared.own}
        called = made.forward if isinstance(made, nn.Module) else made
        self._takes = {name for name in inspect.signature(called).parameters if name in ("meter", "draws")}

    def settings(self) -> dict[str, Any]:
        """What its factory was given."""
        return {"loss": self.name, **self._settings}

    def draws(self, n: int, generator: torch.Generator) -> Float64[Tensor, "r n"]:
        """Its own, if it has any."""
        own = getattr(self.made, "draws", None)
        return super().draws(n, generator) if own is None else own(n, generator)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told on, if it wants to know."""
        told = getattr(self.made, "begin_epoch", None)
        if told is not None:
            told(epoch, epochs)

    def bounds(self, neighbourhood: int) -> dict[str, float]:
        """Its own, if it has any."""
        own = getattr(self.made, "bounds", None)
        return {} if own is None else dict(own(neighbourhood))

    def forward(self, z: Tensor, labels: Tensor, meter: Meter, draws: Tensor) -> Tensor:
        """Single images as [n, d], examples of several as they are.

        Raises:
            ValueError: what comes back is no scalar.
        """
        if self._views == 1:
            z, labels = z.flatten(0, 1), labels.flatten()
        given = {"meter": meter, "draws": draws}
        loss = self.made(z, self._own_labels(labels), **{name: given[name] for name in self._takes})
        if not isinstance(loss, Tensor) or loss.ndim:
            what = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise ValueError(f"The loss `{self.name}` must return a scalar tensor, but returned {what}.")
        return loss

    def _own_labels(self, labels: Tensor) -> Tensor:
        return labels


class PluginLossOverClasses(PluginLoss, OverClasses):
    """The same with parameters for each class: labels are 0 to their number - 1."""

    def __init__(
        self, declared: Loss, made: Callable[..., Any], settings: Mapping[str, Value], classes: Int64[Tensor, " c"]
    ) -> None:
        OverClasses.__init__(self, classes)
        self._take(declared, made, settings)

    def _own_labels(self, labels: Tensor) -> Tensor:
        return self.position[labels]
