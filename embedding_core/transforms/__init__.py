"""Augmentation on the device, with one draw per image."""

from embedding_core.transforms.augmentations import AUGMENTATIONS, augment, crop_and_flip
from embedding_core.transforms.colour import colour_jitter, gaussian_blur, greyscale
from embedding_core.transforms.recipe import Recipe

__all__ = [
    "AUGMENTATIONS",
    "Recipe",
    "augment",
    "colour_jitter",
    "crop_and_flip",
    "gaussian_blur",
    "greyscale",
]
