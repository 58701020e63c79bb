"""How many trials run at once: asked of the nodes again and again, because in a cluster they come and go."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import ray
import yaml
from ray.autoscaler.sdk import request_resources
from ray.tune import PlacementGroupFactory
from ray.tune.search import ConcurrencyLimiter, Searcher

from embedding_core.errors import Faults
from sweeps.engine.private_api import AUTOSCALER_CONFIG

DEFAULT_GPU_SHARE = 0.25
ASK_EVERY_S = 2.0
WORKERS_JOIN_S = 900.0
"""How long a driver waits for the first worker of a cluster whose size nothing says; hosts are set up meanwhile."""

ROUNDING = 1e-9

NODE_ID_LABEL = "ray.io/node-id"
"""Label by which Ray knows each node."""

Resources = Mapping[str, float]
"""Of one node: `CPU`, `GPU`, `memory` in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What each trial is to hold, as the user asks for it."""

    gpus: float | Literal["auto"] | None = None
    """A share of one GPU, at most 1; `auto`: what a probe finds, None: a share where there is a GPU."""
    cpus: float = 1.0
    memory_gib: float | None = None
    """Host memory; None: not asked for."""
    most: int | None = None
    """Trials at once; None: as many as there is room for."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What a trial holds, settled, and so how many of them a cluster has room for."""

    cpus: float
    gpus: float
    memory: int = 0
    """Bytes of host memory; 0: not asked for."""
    most: int | None = None
    """Trials at once, however large the cluster."""
    waits: bool = False
    """Whether nodes may still join, so that a trial waits where there is no room for it yet."""
    left_out: frozenset[str] = frozenset()
    """Ids of nodes on which no trial runs."""

    @property
    def resources(self) -> dict[str, float]:
        """Of one trial."""
        held = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return {name: value for name, value in held.items() if value}

    def bundle(self) -> PlacementGroupFactory:
        """As Tune asks Ray for them."""
        if not self.left_out:
            return PlacementGroupFactory([self.resources])
        elsewhere = {NODE_ID_LABEL: f"!in({','.join(sorted(self.left_out))})"}
        return PlacementGroupFactory([self.resources], bundle_label_selector=[elsewhere])

    def without(self, node_id: str) -> "Slots":
        """The same with one more node left out."""
        return replace(self, left_out=self.left_out | {node_id})

    def has_room(self) -> bool:
        """Whether some node could take a trial, or may come that could."""
        return self.fit(nodes(self.left_out)) > 0 or (self.waits and self.fit(autoscaled()) > 0)

    def fit(self, nodes: Iterable[Resources]) -> int:
        """Trials that fit at once; each lies within one node."""
        return sum(self._fit(node) for node in nodes)

    def room(self) -> int:
        """Trials that the cluster has room for now, or will have once its autoscaler has done what it may."""
        room = max(self.fit(nodes(self.left_out)), self.fit(autoscaled()) if self.waits else 0, 1)
        return min(room, self.most or room)

    def _fit(self, node: Resources) -> int:
        wants = {"CPU": self.cpus, "memory": self.memory}
        fits = [int(node.get(name, 0) / want + ROUNDING) for name, want in wants.items() if want]
        if self.gpus:
            fits.append(int(node.get("GPU", 0)) * int(1 / self.gpus + ROUNDING))  # a share lies on one GPU
        return min(fits)


class RoomLimiter(ConcurrencyLimiter):
    """Keeps as many trials alive as there is room for at the moment; Tune's own limit is fixed at the start."""

    def __init__(self, searcher: Searcher, room: Callable[[], int]) -> None:
        """Args: room: how many may live now; asked again when `ASK_EVERY_S` have passed."""
        super().__init__(searcher, max_concurrent=room())
        self._room = room
        self._asked = time.monotonic()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next run, if there is room for it."""
        if time.monotonic() - self._asked >= ASK_EVERY_S:
            self.max_concurrent, self._asked = self._room(), time.monotonic()
        suggested: dict[str, Any] | None = super().suggest(trial_id)
        return suggested


def nodes(left_out: Collection[str] = ()) -> list[Resources]:
    """Resources of the nodes that are up, but for some ids; a head that runs no trials has neither CPUs nor GPUs."""
    there = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in there if node["NodeID"] not in left_out]


def autoscaled(config: Path | None = None) -> list[Resources]:
    """Resources of all workers that the autoscaler on this head may start; none where there is no autoscaler."""
    try:
        cluster = yaml.safe_load((config or AUTOSCALER_CONFIG).expanduser().read_text())
    except FileNotFoundError:
        return []
    return list(_workers(cluster))[: cluster.get("max_workers")]


def _workers(cluster: Mapping[str, Any]) -> Iterator[Resources]:
    for name, node_type in cluster.get("available_node_types", {}).items():
        if name != cluster.get("head_node_type"):
            yield from [node_type.get("resources", {})] * node_type.get("max_workers", 0)


def slots(
    request: Request,
    *,
    joined: bool,
    share: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    patience_s: float = WORKERS_JOIN_S,
) -> Slots:
    """What a trial holds in the Ray that is up, with room for at least one.

    Args:
        request: of the user.
        joined: a cluster, whose workers may still be on their way.
        share: GPUs per trial, if a probe has found it.
        say: told what is being waited for.
        patience_s: seconds to wait for a first worker where no autoscaler says what may come.

    Raises:
        Faults: not even one trial fits.
    """
    asked = request.gpus if share is None else share
    if joined and not autoscaled():
        _first_worker(request, say, patience_s)
    there = [*nodes(), *(autoscaled() if joined else ())]
    if asked is None or asked == "auto":
        asked = DEFAULT_GPU_SHARE if any(node.get("GPU") for node in there) else 0.0
    found = Slots(
        cpus=request.cpus,
        gpus=float(asked),
        memory=int((request.memory_gib or 0) * 2**30),
        most=request.most,
        waits=joined,
    )
    faults = share_faults(request, there, gpus=float(asked))
    if not faults and not found.fit(there):
        faults = [f"No node holds all that a trial asks for ({_spelled(found)}); there are: {_nodes(there)}."]
    if faults:
        raise Faults(faults)
    return found


def share_faults(request: Request, there: Sequence[Resources], *, gpus: float) -> list[str]:
    """Shares that are larger than what the largest node has."""
    largest = {name: max((node.get(name, 0.0) for node in there), default=0.0) for name in ("CPU", "GPU", "memory")}
    memory = request.memory_gib or 0
    faults = []
    if gpus > largest["GPU"]:
        faults.append(f"`--gpus-per-trial` must be at most {_of_node(largest, 'GPU')}, but got {gpus:g}.")
    if request.cpus > largest["CPU"]:
        faults.append(f"`--cpus-per-trial` must be at most {_of_node(largest, 'CPU')}, but got {request.cpus:g}.")
    if memory * 2**30 > largest["memory"]:
        faults.append(
            f"`--memory-per-trial` must be at most the {largest['memory'] / 2**30:.3g} GiB of a node, "
            f"but got {memory:g}."
        )
    return faults


def _of_node(largest: Mapping[str, float], kind: str) -> str:
    n = largest[kind]
    return f"the {n:g} {kind}{'s' * (n != 1)} of a node"


def _first_worker(request: Request, say: Callable[[str], None], patience_s: float) -> None:
    """Wait until some node has a CPU: `ray up` returns before the workers have joined.

    An autoscaler that left no word here, as that of Kubernetes, is asked for one; others take no notice.
    """
    deadline = time.monotonic() + patience_s
    told = False
    while not any(node.get("CPU") for node in nodes()):
        if time.monotonic() > deadline:
            raise Faults(
                [f"No worker has joined the cluster in {patience_s:g} s: see `ray status` and the monitor's log."]
            )
        if not told:
            say("The cluster has no worker yet; waiting for the first one.")
            share = request.gpus if isinstance(request.gpus, float) else 0.0
            request_resources(bundles=[{"CPU": math.ceil(request.cpus), "GPU": math.ceil(share)}])
            told = True
        time.sleep(ASK_EVERY_S)
    if told:
        request_resources(bundles=[])


def _spelled(slots: Slots) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in slots.resources.items())


def _nodes(there: Iterable[Resources]) -> str:
    named = ("CPU", "GPU", "memory")
    return "; ".join(", ".join(f"{n} {node[n]:g}" for n in named if node.get(n)) or "a head" for node in there)
