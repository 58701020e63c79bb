"""A live network against the one that was asked for, which is built again without numbers: what differs, by name."""

import inspect
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.models.network import EmbeddingNetwork, build_network, set_frozen
from embedding_core.models.pretrained import read_weights

META = torch.device("meta")
CPU = torch.device("cpu")

PLAIN = (bool, int, float, str, type(None))


def network_differences(
    config: TrainConfig, live: EmbeddingNetwork, *, frozen: bool, optimized: Collection[int]
) -> tuple[str, ...]:
    """In what `live` is not the network of `config`: layers and their settings, parameters and buffers by name, shape
    and type of number, and which of them are trained. One clause each, with both values; none: it is that network.

    The backbone may be any module. Numbers are not looked at (see `weights_differences`), nor what fields of `config`
    tell of the whole network: precision, unit length, image scaling.

    Args:
        config: what was asked for.
        live: the network that trains.
        frozen: whether the backbone is to be frozen now.
        optimized: `id` of each parameter that the optimizer has: it takes a gradient and an optimizer to train one.
    """
    asked = _asked(config, live)
    set_frozen(asked, frozen)
    trained = {name for name, p in live.named_parameters() if p.requires_grad and id(p) in optimized}
    to_train = {name for name, p in asked.named_parameters() if p.requires_grad}
    return (
        *_differing(_layers(live), _layers(asked)),
        *_differing(_tensors(live, trained), _tensors(asked, to_train)),
    )


@torch.no_grad()
def weights_differences(config: TrainConfig, live: EmbeddingNetwork) -> tuple[str, ...]:
    """Tensors of the backbone that do not hold the numbers of `config.weights`, with the first of each that differs.

    To be asked before a step moves them. Tensors that only one of the two has are passed over.
    """
    given = read_weights(config.weights, name=config.backbone)
    own = live.backbone.state_dict()
    found = []
    for name in [name for name in own if name in given]:
        here, there = own[name], given[name].to(own[name])
        if here.shape != there.shape:
            found.append(f"`backbone.{name}` is {[*here.shape]}, not {[*there.shape]} as in weights={config.weights}")
        elif not torch.equal(here, there):
            at = (here != there).flatten().nonzero()[0]
            values = [f"{tensor.flatten()[at].item():.6g}" for tensor in (here, there)]
            found.append(f"`backbone.{name}` holds {values[0]}, not {values[1]} as in weights={config.weights}")
    return tuple(found)


def _asked(config: TrainConfig, live: EmbeddingNetwork) -> EmbeddingNetwork:
    """On the `meta` device: a millisecond for `small_cnn`, and no memory.

    The shape of the features is taken from `live`. To run a backbone on `meta` would load torch's compiler, and if the
    backbones are the same, so are their features. What weights from a file make of a backbone is taken from there too.
    """
    from_file = config.weights not in ("none", "imagenet")
    follows: Mapping[str, Tensor] | None = live.state_dict() if from_file else None
    mean, std = (buffer.detach().cpu().flatten() for buffer in (live.mean, live.std))

    def built(device: torch.device) -> EmbeddingNetwork:
        # The stream of initial weights must not end up in the forward passes that follow.
        with torch.random.fork_rng(_cuda_of(live)), device:
            return build_network(
                config, shape=live.image_shape, mean=mean, std=std, precision=live.precision, pretrained=False,
                follows=follows, features=live.feature_shape,
            )  # fmt: skip

    try:
        return built(META)
    except (RuntimeError, TypeError, NotImplementedError):  # a module that looks at its numbers while it is built
        return built(CPU)


def _cuda_of(network: EmbeddingNetwork) -> list[torch.device]:
    return [network.mean.device] if network.mean.is_cuda else []


def _layers(network: EmbeddingNetwork) -> dict[str, str]:
    """Name of each module -> its type with its settings."""
    return {name: _described(module) for name, module in network.named_modules() if name}


def _described(module: nn.Module) -> str:
    """As torch prints it; a module that shows nothing of itself (`StochasticDepth`): what its constructors took."""
    kind = type(module)
    if isinstance(module, nn.ParameterList | nn.ParameterDict):
        shown = ""  # its items are compared by name; they would print the device
    elif kind.extra_repr is not nn.Module.extra_repr:
        shown = module.extra_repr()
    else:
        kept = [(name, vars(module)[name]) for name in _arguments(kind) if name in vars(module)]
        shown = ", ".join(f"{name}={value!r}" for name, value in kept if _is_plain(value))
    return f"{kind.__module__}.{kind.__qualname__}({shown})"


def _arguments(kind: type[nn.Module]) -> tuple[str, ...]:
    """Names that the constructors of a module and its bases have for their arguments; other attributes may be state."""
    bases = kind.__mro__[: kind.__mro__.index(nn.Module)]
    return tuple(dict.fromkeys(name for base in bases for name in inspect.signature(base).parameters))


def _is_plain(value: object) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(item, PLAIN) for item in value))


def _tensors(network: EmbeddingNetwork, trained: Collection[str]) -> dict[str, str]:
    """Name of each parameter and buffer -> its shape and type of number, and whether it is trained."""
    of_parameters = {
        name: f"{_shaped(p)}, {'trained' if name in trained else 'frozen'}" for name, p in network.named_parameters()
    }
    return of_parameters | {name: f"{_shaped(buffer)}, a buffer" for name, buffer in network.named_buffers()}


def _shaped(tensor: Tensor) -> str:
    return f"{[*tensor.shape]} of {str(tensor.dtype).removeprefix('torch.')}"


def _differing(live: Mapping[str, str], asked: Mapping[str, str]) -> Iterator[str]:
    for name in {**asked, **live}:
        here, there = live.get(name), asked.get(name)
        if here is None:
            yield f"`{name}` is missing, not {there}"
        elif there is None:
            yield f"`{name}` is {here}, where nothing was asked for"
        elif here != there:
            yield f"`{name}` is {here}, not {there}"
