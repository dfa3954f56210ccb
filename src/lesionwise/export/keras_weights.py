"""Keras weights without an architecture (`save_weights`), in the network of a recipe of a notebook.

Such a file holds the arrays of each layer, but not the layers' kinds, and not their full order. The recipe
states these. Here the arrays are put into its layers, one by one, and every shape must agree. No file of
weights states the activations; the user vouches for them by naming the recipe.

Not here: files with an architecture (`keras_model`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from lesionwise.arrays import Float32s
from lesionwise.errors import BundleError, import_extra
from lesionwise.export.file_kind import file_kind
from lesionwise.export.keras_model import arrays_of, as_text, exported, verify_arrays
from lesionwise.export.onnx_model import TOLERANCE, ForeignModel, short
from lesionwise.labels import CODES
from lesionwise.models.network import Network
from lesionwise.models.registry import create_model
from lesionwise.models.weights import FRESH
from lesionwise.recipe import load_recipe
from lesionwise.wording import counted, listed

RECIPES: Final = ("seed-cnn", "seed-cnn-256", "seed-mlp", "seed-vgg16")
"""Recipes whose networks are those of Keras notebooks, layer by layer."""

Layer = tuple[str, list[NDArray[Any]]]
Layers = list[Layer]

_WITH_WEIGHTS: Final = (nn.Conv2d, nn.Linear)
_WHOLE: Final = "Load them in Keras into the network that they belong to, and save the whole model"
_NUMBER: Final = re.compile(r"(\d+)")
_NAME: Final = re.compile(r"(.*/)?(block\d_conv\d|[a-z0-9]+(_\d+)?)")  # as Keras numbers layers
_AXES: Final = 4  # of the kernel of a convolution; a dense layer's has two


def read_weights(path: Path, recipe: str, size: tuple[int, int] | None) -> ForeignModel:
    """Read the weights of a recipe's network, which ends in a softmax here, as in the notebooks.

    Args:
        path: A file of `save_weights` in the format of Keras 1 and 2, or of Keras 3.
        recipe: One of `RECIPES`.
        size: Height and width of its images in pixels; those of the recipe if left out.

    Raises:
        BundleError: If its layers are not those of the recipe, or it holds more than weights; the message
            does not name it.
        MissingExtraError: If h5py is not installed.
    """
    if recipe not in RECIPES:
        raise BundleError(f'expected --recipe to be one of {", ".join(RECIPES)} but got "{recipe}"')
    if file_kind(path) != "hdf5":
        raise BundleError("is not a file that holds only weights. Leave --recipe out")
    made = load_recipe(recipe)
    shape = size or made.image_size
    network = create_model(
        made.model, num_classes=len(CODES), image_size=shape, drop_rate=made.drop_rate, weights=FRESH
    )
    _fill(network, _read(path), f"{recipe} at {shape[0]}x{shape[1]} pixels")
    model = nn.Sequential(network, nn.Softmax(1)).eval()

    def answer(image: Float32s) -> Float32s:
        with torch.inference_mode():
            found: Float32s = model(torch.from_numpy(image)).numpy()
            return found

    return ForeignModel(
        onnx.load_from_string(exported(model, (3, *shape))),
        ((answer, TOLERANCE),),
        changes=(f"its layers are those of {recipe}, with a softmax, because its file holds only weights",),
    )


def _read(path: Path) -> Layers:
    """Return name and arrays of each layer, convolutions first, else in the order of the layers."""
    h5py = import_extra("h5py")
    try:
        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                raise BundleError("holds its own architecture. Leave --recipe out")
            verify_arrays(file)
            found = list(_of_keras_2(file) if "layer_names" in file.attrs else _of_keras_3(file))
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(f"cannot be read as weights of Keras: {short(error)}") from error
    return sorted(found, key=lambda layer: layer[1][0].ndim != _AXES)


def _of_keras_2(file: Any) -> Iterator[Layer]:  # noqa: ANN401 (of a package without types)
    """Yield the layers of a file of Keras 1 or 2.

    A model inside the model is one group. Its frozen layers come last there, so that its layers are sorted
    by their names.
    """
    for group in map(as_text, file.attrs["layer_names"]):
        layers = arrays_of(file[group])
        if len(layers) > 1 and (odd := [name for name in layers if not _NAME.fullmatch(name)]):
            raise BundleError(f"does not state the place of its layer {odd[0]}. {_WHOLE}")
        yield from sorted(layers.items(), key=lambda layer: _by_number(layer[0]))


def _of_keras_3(file: Any) -> Iterator[Layer]:  # noqa: ANN401
    """Yield the layers of a file of Keras 3, whose places have the name of the class and a number."""
    places: list[str] = []
    file.visit(places.append)
    for place in sorted(places, key=_by_number):
        layer, _, last = place.rpartition("/")
        if last == "vars" and not place.startswith("optimizer") and len(file[place]):
            yield layer, [np.asarray(file[place][key]) for key in sorted(file[place], key=int)]


def _by_number(name: str) -> list[Any]:
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(name)]


def _fill(network: Network, layers: Layers, where: str) -> None:
    """Give each layer of a network the arrays that the file has for its place."""
    own = [layer for part in _parts(network) for layer in part.modules() if isinstance(layer, _WITH_WEIGHTS)]
    if len(layers) != len(own):
        raise BundleError(
            f"holds the weights of {counted(len(layers), 'layer')}, but {where} has {len(own)}. {_WHOLE}"
        )
    channels = 0  # of the map that a dense layer flattens
    for layer, (name, arrays) in zip(own, layers, strict=True):
        kernel, bias = _keras_shape(layer)
        found = [array.shape for array in arrays]
        if found != [kernel, bias]:
            shapes = listed(list(map(str, found)))
            raise BundleError(
                f"has arrays of {shapes} in its layer {name}, but {where} has {kernel} and {bias} there. "
                f"Pass --size if it was trained at another size. {_WHOLE}"
            )
        weights = np.asarray(arrays[0], np.float32)
        if isinstance(layer, nn.Conv2d):
            turned = weights.transpose(3, 2, 0, 1)
            channels = layer.out_channels
        else:  # Keras flattens channels last, and PyTorch channels first
            places = weights.reshape(-1, channels or layer.in_features, layer.out_features)
            turned = places.transpose(2, 1, 0).reshape(layer.out_features, layer.in_features)
            channels = 0
        layer.load_state_dict(
            {
                "weight": torch.from_numpy(turned.copy()),
                "bias": torch.tensor(np.asarray(arrays[1], np.float32)),
            }
        )


def _parts(network: Network) -> tuple[nn.Module, ...]:
    """Return the parts of a network in the order in which an image passes them."""
    return (
        network.features,
        *(part for part in network.head.children() if part is not network.head.linear),
        network.head.linear,
    )


def _keras_shape(layer: nn.Conv2d | nn.Linear) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of kernel and bias as Keras has them."""
    if isinstance(layer, nn.Conv2d):
        return (*layer.kernel_size, layer.in_channels, layer.out_channels), (layer.out_channels,)
    return (layer.in_features, layer.out_features), (layer.out_features,)
