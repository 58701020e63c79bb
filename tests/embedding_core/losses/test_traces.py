"""One update is one graph: no loss makes the host wait for the device, and `torch.compile` finds no break in any."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func

from embedding_core.config.train_config import CHOICES, TrainConfig
from embedding_core.losses.miners import Triplets
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.models.network import build_network
from embedding_core.training.accumulation import accumulated_step
from embedding_core.training.accumulation_gap import measure_gap

Settings = dict[str, Any]
Traced = Callable[..., Any]

BATCH, D, CLASSES = 24, 5, 4
LABELS = torch.arange(BATCH) * 7 % CLASSES
LABELS[-1] = CLASSES  # alone in its class: no positive

BASES: list[Settings] = [
    *({"loss": loss} for loss in ("arcface", "softmax", "nt_xent")), {"loss": "nt_xent", "similarity": "dot"},
    *({"loss": "triplet", "distance": distance} for distance in CHOICES["distance"]),
    *({"loss": "semihard", "distance": distance} for distance in CHOICES["distance"]),
    {"loss": "semihard", "fallback": "nearest"},
    *({"loss": "mined", "mining": kind} for kind in CHOICES["mining"] if kind != "curriculum"),  # picks among these
]  # fmt: skip
KOLEO: list[Settings] = [
    {"koleo": True, "koleo_weight": 0.3, **more}
    for more in ({}, {"koleo_exclude_same_class": True}, {"koleo_top_k": 3}, {"koleo_group_size": 7},
                 {"koleo_exclude_same_class": True, "koleo_top_k": 2, "koleo_group_size": 8})
]  # fmt: skip


CASES = [*BASES, *({"loss": "triplet", **koleo} for koleo in KOLEO)]
BY_VIEWS = [{"loss": loss, **koleo} for loss in ("softmax", "nt_xent") for koleo in KOLEO[1:]]
"""KoLeo is added to whatever the base is, over the images of all views: one and two of each here, three in `CASES`."""
WITH_KOLEO = [*({**base, **KOLEO[0]} for base in BASES), *BY_VIEWS]


def name(settings: Settings) -> str:
    return ",".join(str(value) for key, value in settings.items() if key not in ("koleo", "koleo_weight")) or "koleo"


def test_no_loss_is_left_out() -> None:
    assert {base["loss"] for base in BASES} == set(CHOICES["loss"])


class Batch:
    """An objective in float64 and the same random batch for it each time."""

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.config = TrainConfig(batch_size=BATCH, embedding_dim=D, scale=8.0, **settings)
        self.objective = Objective.of(self.config, classes=torch.arange(CLASSES + 1)).double().to(device)
        self.objective.base.begin_epoch(0, 35)
        views = self.config.views_per_example
        random = torch.Generator().manual_seed(0)
        z = torch.randn(BATCH, views, D, generator=random, dtype=torch.float64)
        self.z = nn.functional.normalize(z, dim=2).to(device).requires_grad_()
        self.labels = LABELS[:, None].repeat(1, views).to(device)
        if views == 3:
            self.labels[:, 2] = (self.labels[:, 0] + 1) % CLASSES
        self.draws = self.objective.base.draws(self.labels.numel(), random).to(device)

    def of(self, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings, labels and draws of some of its examples."""
        labels = self.labels[part]
        return self.z[part], labels, self.draws[:, : labels.numel()]

    def outcome(self, objective: Traced, part: slice) -> tuple[Tensor, list[Tensor | None], dict[str, float]]:
        """Loss, gradients and terms."""
        z, labels, draws = self.of(part)
        meter = Meter()
        loss = objective(z, labels, meter, draws)
        wanted = [self.z, *self.objective.parameters()]
        return loss.detach(), list(torch.autograd.grad(loss, wanted, allow_unused=True)), meter.means()


# No host read: a tensor of the device `meta` has a shape and no values, and every look at one raises.


def check_reads_nothing(settings: Settings) -> None:
    batch = Batch(settings, device="meta")

    def loss_of(z: Tensor, part: slice) -> Tensor:
        _, labels, draws = batch.of(part)
        loss: Tensor = batch.objective(z, labels, Meter(), draws)
        return loss

    for part in (slice(0, BATCH), slice(16, BATCH)):
        loss_of(batch.z[part], part).backward()
    gap = measure_gap(batch.z, loss_of, accum_steps=3)
    assert all(value.is_meta and value.ndim == 0 for value in gap)


@pytest.mark.parametrize("settings", CASES, ids=name)
def test_nothing_reads_a_value_on_the_device(settings: Settings) -> None:
    check_reads_nothing(settings)


def test_the_host_reads_the_terms_all_at_once() -> None:
    batch, meter = Batch({"loss": "mined", **KOLEO[0]}), Meter()
    batch.objective(batch.z, batch.labels, meter, batch.draws)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        meter.means()
    assert [event.name for event in profile.events()].count("aten::stack") == 1
    assert not [event for event in profile.events() if event.name == "aten::item"]


# No break: one graph, forward and backward


class Graphs:
    """A backend that runs what it is given as it is and keeps it: the operations of forward and backward passes."""

    def __init__(self) -> None:
        self.kept: list[torch.fx.GraphModule] = []

    def compiled(self, function: Traced) -> Traced:
        """`function` as one graph for each shape of its arguments."""
        backend = aot_autograd(fw_compiler=self._keep, bw_compiler=self._keep)
        return torch.compile(function, fullgraph=True, dynamic=False, backend=backend)

    def _keep(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Traced:
        self.kept.append(graph)
        return make_boxed_func(graph.forward)

    def of_values(self) -> set[str]:
        """The operations whose result on the host or whose shape depends on values."""
        return {str(node.target) for graph in self.kept for node in graph.graph.nodes if _depends_on_values(node)}


def _depends_on_values(node: torch.fx.Node) -> bool:
    tags = getattr(node.target, "tags", ())
    if node.target is torch.ops.aten.index.Tensor:  # has the tag for masks, which are what is meant here
        return any(at is not None and at.meta["val"].dtype == torch.bool for at in node.args[1])  # type: ignore[union-attr]
    return torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """For tracing; the suite's checks of shapes, which cannot be traced, are off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    # Of a tuple that is made in the graph the method would be traced with its check.
    monkeypatch.setattr(Triplets, "embeddings", inspect.unwrap(Triplets.embeddings))
    torch._dynamo.reset()
    yield Graphs()
    torch._dynamo.reset()
    jaxtyping.config.update("jaxtyping_disable", False)


def check_traces(settings: Settings, graphs: Graphs) -> None:
    batch, part = Batch(settings), slice(3, BATCH)
    found, expected = (batch.outcome(o, part) for o in (graphs.compiled(batch.objective), batch.objective))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert len(graphs.kept) == 2  # forward and backward
    assert not graphs.of_values()


@pytest.mark.slow
@pytest.mark.parametrize("settings", CASES, ids=name)
def test_every_loss_is_one_graph(settings: Settings, graphs: Graphs) -> None:
    check_traces(settings, graphs)


@pytest.mark.slow
@pytest.mark.parametrize("settings", WITH_KOLEO, ids=name)
def test_every_loss_with_koleo_is_one_graph_without_a_look(settings: Settings, graphs: Graphs) -> None:
    check_reads_nothing(settings)
    check_traces(settings, graphs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "look", [lambda x: torch.ones(x.max().item()), lambda x: x[x > 0], lambda x: x * x.nonzero().sum()]
)
def test_a_look_at_values_would_be_noticed(look: Traced, graphs: Graphs) -> None:
    graphs.compiled(look)(torch.arange(3))
    assert graphs.of_values()


def test_a_branch_on_values_is_refused(graphs: Graphs) -> None:
    with pytest.raises(torch._dynamo.exc.Unsupported):
        graphs.compiled(lambda x: x if x.sum() > 0 else -x)(torch.arange(3.0))


# The step


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("naive", {"loss": "semihard", "norm_kind": "group"}),
        ("cached", {"loss": "mined", "mining": "random", "norm_kind": "batch", **KOLEO[1]}),
    ],
)
def test_a_step_of_traced_pieces_is_the_step(mode: str, settings: Settings, graphs: Graphs) -> None:
    """Gradients, embeddings and running statistics, with dropout and uneven micro-batches."""
    batch = Batch({**settings, "dropout": 0.4})
    images = torch.randint(0, 256, (BATCH, 1, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    half = torch.full((1,), 0.5)

    def step(made: Callable[[Traced], Traced]) -> tuple[Tensor, Tensor, dict[str, Tensor], list[Tensor | None]]:
        network = build_network(batch.config, shape=(1, 8, 8), mean=half, std=half, precision="float32").train()
        forward, objective = made(network), made(batch.objective)

        def loss_of(z: Tensor, part: slice) -> Tensor:
            _, labels, draws = batch.of(part)
            loss: Tensor = objective(z, labels, Meter(), draws)
            return loss

        torch.manual_seed(7)
        report = accumulated_step(forward, images, loss_of, accum_steps=5, mode=mode)
        return report.loss, report.embeddings, dict(network.named_buffers()), [p.grad for p in network.parameters()]

    expected = step(lambda piece: piece)
    torch.testing.assert_close(step(graphs.compiled), expected, rtol=1e-4, atol=1e-6)
    assert not graphs.of_values()
