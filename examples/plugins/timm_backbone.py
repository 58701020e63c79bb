"""Any network of timm as a backbone, by its name there.

python sweeps/koleo_accum.py --plugin examples/plugins/timm_backbone.py --set backbone=timm_backbone \
    --set backbone.model=resnet10t --set norm_kind=batch
"""

import timm
from torch import nn

from embedding_core.plugins import backbone


@backbone("timm_backbone")
def timm_backbone(channels: int, model: str = "resnet10t", pretrained: bool = False) -> nn.Module:
    """Its feature maps; `pretrained` fetches weights. One with BatchNorm, as most are, needs `norm_kind=batch`."""
    network: nn.Module = timm.create_model(
        model, pretrained=pretrained, in_chans=channels, num_classes=0, global_pool=""
    )
    return network
