"""torch.compile in a process that trains one run after another."""

import torch
from torch import nn

_compiled_for: object = None
"""What the code that torch keeps in this process was compiled for; torch's cache is the process's as well."""


def compile_network(network: nn.Module, *also: object) -> None:
    """Compile the network in place; code that an earlier run left is kept only if it was for the same.

    torch keeps at most 8 versions of a function (`recompile_limit`), over all networks that share it, and runs whatever
    comes next uncompiled, which shows in nothing but the time it takes. One run alone may need all 8: each of training
    and evaluation, gradients or none, a backbone frozen or not, whole batches and a short one is a version.

    Args:
        network: on its device; its layers are told by their `repr`.
        also: what else decides which versions are needed, and which the layers do not show; compared by equality.
    """
    global _compiled_for
    needed = (repr(network), also)
    if needed != _compiled_for:
        torch.compiler.reset()
    _compiled_for = needed
    network.compile()
