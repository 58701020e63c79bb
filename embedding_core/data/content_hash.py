"""What data are told apart by: their content, not their name or place."""

import hashlib

from torch import Tensor


def tensors_sha256(*tensors: Tensor) -> str:
    """Hash of the shapes and contents of tensors on the CPU, in order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
