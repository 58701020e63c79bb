"""How a trial ends: every `end_reason`, and the sets of them that are asked about.

Decided in `embedding_core.train`, of what it raises in `trainables.endings`, of the rest in
`sweeps.engine.records.endings`.
"""

from typing import Final

OOM_SHARED: Final = "oom_shared"
"""Out of memory on a GPU that others had a share of: not judged yet, but run again alone on one."""

END_REASONS: Final = ("completed", "asha_stopped", "diverged", "collapsed", "oom", OOM_SHARED, "error", "preempted",
                      "user")  # fmt: skip
"""`user` stands in old folders alone."""

FAILED_TRAINING: Final = ("diverged", "collapsed")
"""The method's doing, hence data: such a run would end so again."""

INFRASTRUCTURE: Final = ("error", "oom", OOM_SHARED, "preempted", "user")
"""Not the method's doing: such a run of a designed stage is run again."""

UNINFORMATIVE: Final = ("error", OOM_SHARED, "preempted", "user")
"""They say nothing about a trial's settings, so the search runs it again; want of memory says something."""

INFEASIBLE: Final = ("diverged", "oom")
"""What the search learns to keep away from."""

RESUMABLE: Final = ("error", OOM_SHARED, "preempted")
"""A trial that ended so goes on from its checkpoint, which stays until then."""

RETRIABLE: Final = ("error", "oom", "preempted", "diverged", "collapsed")
"""What `--retry` takes."""


def run_again(stage: str) -> tuple[str, ...]:
    """Endings of which a trial of this stage is run again by every resume, on such a share as it had."""
    again = UNINFORMATIVE if stage == "search" else INFRASTRUCTURE
    return tuple(ending for ending in again if ending != OOM_SHARED)
