"""Some images of a set, which are not copied."""

from dataclasses import dataclass

from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageSubset:
    """Some images of a larger tensor, which stays where it is: only what is asked for is copied."""

    source: UInt8[Tensor, "all c h w"]
    rows: Int64[Tensor, " n"]
    """On the device of `source`."""
    labels: Int64[Tensor, " n"]
    """On the CPU."""

    def images(self, places: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        """Those at `places` (0 to n - 1), on the device of `source`."""
        return self.source[self.rows[places.to(self.rows.device)]]
