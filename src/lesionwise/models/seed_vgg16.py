"""`seed-vgg16`: the transfer learning of the Keras notebooks, VGG16 under one dense layer."""

from torch import nn

from lesionwise.models.backbones import TimmFeatures
from lesionwise.models.keras_init import keras_init
from lesionwise.models.network import DenseHead, Network
from lesionwise.models.weights import FRESH, Statistics

_REDUCTION = 32  # five poolings


def seed_vgg16(
    *,
    num_classes: int,
    image_size: tuple[int, int],
    drop_rate: float = 0.0,
    weights: str = FRESH,
    statistics: Statistics | None = None,
) -> Network:
    """Return the convolutions of VGG16, flattened, and one dense layer.

    The notebooks hold the convolutions still (`freeze = "all"`) and normalise with what Keras' weights were
    trained with; here it is what the weights at hand were trained with.

    Args:
        image_size: Height and width of its images, in pixels; the dense layer fits no other.
        drop_rate: Dropout before the last layer; none in the notebooks.
        weights: "none", "published", or the path of a safetensors file of timm's vgg16.

    References:
        Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556
    """
    features = TimmFeatures("vgg16", image_size=image_size, weights=weights, statistics=statistics)
    places = (image_size[0] // _REDUCTION) * (image_size[1] // _REDUCTION)
    head = DenseHead(nn.Flatten(), features.num_features * places, num_classes, drop_rate)
    return features.under(keras_init(head))
