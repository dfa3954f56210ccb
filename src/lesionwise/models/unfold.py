"""From the graph of a bundle back to the weights of its network.

In an exported graph, batch normalisation is folded into the layer before it: its scale into the weights, its
shift into the bias. Here the layer gets the weights, and the normalisation gets the bias. It divides by one
until `measure_statistics` gives it the statistics of its input, so that training can continue.

Here: the weights of one member, and those statistics. Not here: whether the network fits, and which images
made it (`lesionwise.training.start`).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from lesionwise.errors import RecipeError
from lesionwise.models.network import Network

_LAYERS: Final = (nn.Conv2d, nn.Linear)  # into which a batch normalisation can be folded
_RGB: Final = 3
_NONE: Final = np.empty(0)
_LEAST_VARIANCE: Final = 1e-8  # of a channel that is always the same


class Folded(NamedTuple):
    """A layer, and the batch normalisation of its output."""

    layer: str
    norm: str


def unfold(content: bytes, network: Network, trial: tuple[int, int], *, member: int = 0) -> dict[str, Tensor]:
    """Return the state of a network in a bundle.

    Args:
        network: A fresh network with the architecture of the member; it is not changed.
        trial: Height and width of images that it can take.
        member: Number of the member.

    Raises:
        RecipeError: If the graph lacks a weight; the message does not name the file.
    """
    graph = onnx.load_from_string(content).graph
    values = _numbers(graph)
    prefix = f"registered.{member}.network."
    biases = {node.input[1]: node.input[2] for node in graph.node if len(node.input) > 2}  # noqa: PLR2004
    state = network.state_dict()
    known = {name: values[prefix + name] for name in state if prefix + name in values}
    known |= _normalisation(graph, values, member)
    norms = _modules(network, (_BatchNorm,))
    for layer, norm in _followed(network, trial):
        if f"{norm}.running_var" not in known:
            bias = values.get(biases.get(f"{prefix}{layer}.weight", ""))
            if bias is None:
                raise RecipeError(f"its graph has no bias of {layer}")
            size = len(bias)
            known[f"{norm}.bias"], known[f"{norm}.weight"] = bias, np.ones(size)
            known[f"{norm}.running_mean"] = known[f"{layer}.bias"] = np.zeros(size)
            known[f"{norm}.running_var"] = np.full(size, 1 - norms[norm].eps)
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in known or known[name].size != value.numel():
            raise RecipeError(f"its graph has no {name} of {tuple(value.shape)}")
        state[name] = torch.tensor(known[name], dtype=value.dtype).reshape(value.shape)
    return state


def measure_statistics(network: Network, views: Iterable[Tensor]) -> None:
    """Give each batch normalisation mean and variance of its input, without changing the answers.

    Args:
        network: In any mode; afterwards it is in training mode.
        views: Batches of images as in training, (B, 3, H, W) in [0, 1].
    """
    norms = _modules(network, (_BatchNorm,))
    sums: dict[str, Tensor] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].transpose(0, 1).flatten(1)
        variance, mean = (part.cpu().double() for part in torch.var_mean(x, dim=1, correction=0))
        weighted = torch.stack([torch.ones_like(mean), mean, variance + mean.square()]) * x.shape[1]
        sums[name] = sums.get(name, 0) + weighted

    hooks = [norm.register_forward_pre_hook(partial(note, name)) for name, norm in norms.items()]
    with _watching(*hooks):
        for images in views:
            network.eval()(images)
    with torch.no_grad():
        for name, norm in norms.items():
            count, total, squares = sums[name]
            mean = (total / count).to(norm.bias)
            variance = (squares / count - (total / count).square()).clamp_min(_LEAST_VARIANCE).to(norm.bias)
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            norm.bias += scale * (mean - norm.running_mean)
            norm.weight.copy_(scale * (variance + norm.eps).sqrt())
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
    network.train()


def _numbers(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """Return all weights by name; those stored in sixteen bits have the name of their fp32 form."""
    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].astype(np.float32)
    return values


def _normalisation(
    graph: onnx.GraphProto, values: Mapping[str, NDArray[Any]], member: int
) -> dict[str, NDArray[Any]]:
    """Return mean and std of a member's images; equal numbers share one name in the graph."""
    subtracted = [n for n in graph.node if n.op_type == "Sub" and values.get(n.input[1], _NONE).size == _RGB]
    if member >= len(subtracted):
        return {}
    mean = subtracted[member]
    divided = next(n for n in graph.node if mean.output[0] in n.input)
    return {"mean": values[mean.input[1]], "std": values.get(divided.input[1], _NONE)}


def _followed(network: Network, trial: tuple[int, int]) -> list[Folded]:
    """Return each layer whose output goes directly into a batch normalisation, found by a trial."""
    made: list[tuple[Tensor, str]] = []
    found: list[Folded] = []

    def note_layer(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        made.append((output, name))

    def note_norm(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.extend(Folded(layer, name) for output, layer in made if output is inputs[0])

    layers = _modules(network, _LAYERS)
    norms = _modules(network, (_BatchNorm,))
    height, width = trial
    with _watching(
        *(layer.register_forward_hook(partial(note_layer, name)) for name, layer in layers.items()),
        *(norm.register_forward_pre_hook(partial(note_norm, name)) for name, norm in norms.items()),
    ):
        network.eval()(torch.zeros(1, 3, height, width))
    network.train()
    return found


def _modules(network: Network, kinds: tuple[type[nn.Module], ...]) -> dict[str, Any]:
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


@contextmanager
def _watching(*hooks: RemovableHandle) -> Iterator[None]:
    """Run a block without gradients, and remove hooks after it."""
    try:
        with torch.inference_mode():
            yield
    finally:
        for hook in hooks:
            hook.remove()
