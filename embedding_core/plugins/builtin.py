"""Every loss, backbone and data set of the project itself; what stands behind each is attached where it is written."""

from typing import Final

from embedding_core.plugins.declarations import Backbone, Dataset, Loss
from embedding_core.plugins.registry import Registry

_HINGE: Final = ("margin", "distance")

LOSSES: Final = Registry(
    Loss,
    (
        Loss(name="triplet", sees="sample", views=3, fields=_HINGE, is_margin_if_collapsed=True),
        Loss(name="mined", sees="batch", fields=("mining", *_HINGE), is_margin_if_collapsed=True),
        Loss(name="semihard", sees="batch", fields=(*_HINGE, "fallback"), is_margin_if_collapsed=True),
        Loss(name="arcface", sees="sample", fields=("scale", "margin"), given=("embedding_dim", "num_classes")),
        Loss(name="softmax", sees="sample", given=("embedding_dim", "num_classes")),
        Loss(name="nt_xent", sees="batch", views=2, fields=("temperature", "similarity")),
    ),
)

_BATCH_NORM: Final = ("group", "batch")
"""Of networks that are published with BatchNorm, for which GroupNorm can stand."""

BACKBONES: Final = Registry(
    Backbone,
    (
        Backbone(name="small_cnn", given=("channels", "norm_kind")),
        Backbone(name="vgg11", given=("side",), norms=("none",), has_published_weights=True),
        Backbone(name="alexnet", given=("side",), norms=("none",), has_published_weights=True),
        Backbone(name="resnet18", given=("small_stem",), norms=_BATCH_NORM, has_published_weights=True),
        Backbone(name="resnet34", given=("small_stem",), norms=_BATCH_NORM, has_published_weights=True),
        Backbone(name="resnet50", given=("small_stem",), norms=_BATCH_NORM, has_published_weights=True),
        Backbone(name="efficientnet_v2_s", given=("stages",), norms=_BATCH_NORM, has_published_weights=True),
        Backbone(name="efficientnet_lite0", norms=_BATCH_NORM, has_published_weights=True),
        Backbone(name="vit_tiny", given=("side",), norms=("none",), has_maps=False),
    ),
)

DATASETS: Final = Registry(
    Dataset,
    (
        Dataset(name="digits", flips=False),
        Dataset(name="cifar10"),
        Dataset(name="mnist", flips=False),
        Dataset(name="stl10"),
        Dataset(name="stl10-unlabelled"),
        Dataset(name="caltech101"),
        Dataset(name="cifar-10-python"),
    ),
)

REGISTRIES: Final = (LOSSES, BACKBONES, DATASETS)
