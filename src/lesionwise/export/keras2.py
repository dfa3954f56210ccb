"""Models of Keras 1 and 2, rebuilt in Keras 3.

Keras 3 refuses most files of Keras 2, because of a setting that it no longer has, a slash in a name, or a
function of TensorFlow between two layers. Such a file holds only a list of layers with settings, their
connections, and arrays. Here the network is built from that list, layer by layer, and each layer gets the
arrays with its name. No code in the file is run, and no setting that could change an answer is left out.

Not here: opening the file (`keras_model`).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from lesionwise.errors import BundleError

_CONTAINERS: Final = ("Functional", "Model", "Sequential")
_OPERATIONS: Final = ("TFOpLambda", "SlicingOpLambda")
_ONLY_FOR_TRAINING: Final = ("_initializer", "_regularizer", "_constraint")
_OF_THE_FILE: Final = ("batch_input_shape", "batch_shape", "dtype", "input_dtype", "name", "trainable")
_NO_CHANGE: Final = tuple(
    map(repr, (None, False, 0, 0.0, 1, 1.0, [1, 1], "linear", "channels_last", "float32"))
)
_NO_CALL: Final = tuple(map(repr, (None, False)))
_OWN_LAYER: Final = (
    "has a layer {}, which is not a layer of Keras, and its code is not in the file. Export the model "
    "as ONNX on a machine that has this code"
)
_RENAMED: Final = {("LeakyReLU", "alpha"): "negative_slope"}

LayerArrays = Mapping[str, list[np.ndarray[Any, Any]]]
"""The arrays of each layer with weights, by the name of the layer, in the order of the file."""


def build_model(keras: Any, config: Any) -> Any:  # noqa: ANN401 (a module and a model without types, and JSON)
    """Return the network of a configuration that Keras 1 or 2 wrote, with random weights.

    Raises:
        BundleError: If it has a layer, a setting or a function that Keras 3 does not have.
    """
    return _Builder(keras).build(config)


def fill(model: Any, arrays: LayerArrays) -> None:  # noqa: ANN401
    """Give a network the arrays of its file.

    Raises:
        BundleError: If layers and arrays do not fit each other, by name or by shape.
    """
    layers = {getattr(layer, "name_in_file", layer.name): layer for layer in _leaves(model) if layer.weights}
    named = {_layer_of(name, layers): values for name, values in arrays.items()}
    if set(layers) != set(named) or len(named) != len(arrays):
        odd = next(iter(sorted(set(layers) ^ set(named))), "two of one name")
        raise BundleError(f"has weights of other layers than its configuration: {odd}")
    for name, layer in layers.items():
        try:
            layer.set_weights(named[name])
        except ValueError as error:
            raise BundleError(f"has weights whose shape does not fit its layer {name}") from error
        if hasattr(layer, "finalize_state"):  # Normalization computes two numbers from its weights
            layer.finalize_state()


def _layer_of(name: str, layers: Mapping[str, Any]) -> str:
    """Return the layer of arrays whose name may begin with that of an outer model."""
    while name not in layers and "/" in name:
        name = name.partition("/")[2]
    return name


def _leaves(model: Any) -> Iterator[Any]:  # noqa: ANN401
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaves(layer)
        else:
            yield layer


def _settings_of(layer: type) -> set[str]:
    """Return the settings that a class of layers takes, and those that it passes on to its bases."""
    found: set[str] = set()
    for base in layer.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc] # of this class
            found |= {parameter.name for parameter in parameters}
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
                break
    return found


class _Builder:
    """Builds networks."""

    def __init__(self, keras: Any) -> None:  # noqa: ANN401
        self.keras = keras
        self.functions = _functions(keras)

    def build(self, config: Any) -> Any:  # noqa: ANN401
        """Return a layer or a network."""
        kind, settings = config["class_name"], config["config"]
        if ">" in str(config.get("registered_name")):
            raise BundleError(_OWN_LAYER.format(kind))
        if kind not in _CONTAINERS:
            return self._layer(kind, settings)
        if kind == "Sequential":
            return self._sequential(settings)
        return self._functional(settings)

    def _layer(self, kind: str, settings: dict[str, Any]) -> Any:  # noqa: ANN401
        made = getattr(self.keras.layers, kind, None)
        if made is None:
            raise BundleError(_OWN_LAYER.format(kind))
        if kind == "InputLayer":
            shape = settings.get("batch_input_shape") or settings.get("batch_shape") or ()
            return made(batch_shape=(None, *shape[1:]), dtype="float32")
        accepted = _settings_of(made)
        kept: dict[str, Any] = {}
        for key, value in settings.items():
            name = _RENAMED.get((kind, key), key)
            if key.endswith(_ONLY_FOR_TRAINING) or key in _OF_THE_FILE:
                continue
            if kind == "BatchNormalization" and key == "axis" and isinstance(value, list):
                kept[key] = value[0]
            elif isinstance(value, dict) and "class_name" in value and "config" in value:
                kept[name] = self._inner(value)
            elif name in accepted:
                kept[name] = value
            elif repr(value) not in _NO_CHANGE:  # True == 1
                raise BundleError(f"has a layer {kind} with {key}={value}, which Keras 3 does not have")
        kept = {key: self._hard_sigmoid if value == "hard_sigmoid" else value for key, value in kept.items()}
        layer = made(**kept, name=settings["name"].replace("/", "_"), dtype="float32")
        layer.name_in_file = settings["name"]
        return layer

    def _hard_sigmoid(self, x: Any) -> Any:  # noqa: ANN401
        """Return the function that Keras 1 and 2 have under this name; in Keras 3, it has the slope 1/6."""
        return self.keras.ops.clip(0.2 * x + 0.5, 0, 1)

    def _inner(self, value: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return a layer or the name of a function that is a setting of another layer."""
        if value["class_name"] == "function" and isinstance(value["config"], str):
            return value["config"]
        if hasattr(self.keras.layers, value["class_name"]):
            return self.build(value)
        raise BundleError(f"has a {value['class_name']} inside a layer, which Keras 3 does not have")

    def _sequential(self, settings: Any) -> Any:  # noqa: ANN401
        configs = settings if isinstance(settings, list) else settings["layers"]  # a list up to Keras 2.2
        first = configs[0]["config"]
        while isinstance(first, dict) and "layers" in first:
            first = first["layers"][0]["config"]
        shape = first.get("batch_input_shape") or first.get("batch_shape")
        if shape is None:
            shape = settings.get("build_input_shape") if isinstance(settings, dict) else None
        if shape is None:
            raise BundleError("does not state the size of its input. Call the model once, and save it again")
        inputs = tensor = self.keras.Input(tuple(shape[1:]))
        for config in configs:
            if config["class_name"] != "InputLayer":
                tensor = self.build(config)(tensor)
        return self.keras.Model(inputs, tensor)

    def _functional(self, settings: dict[str, Any]) -> Any:  # noqa: ANN401
        tensors: dict[tuple[str, int, int], Any] = {}
        layers: dict[str, Any] = {}
        waiting = [
            (config, place, node)
            for config in settings["layers"]
            for place, node in enumerate(config["inbound_nodes"] or [None])
        ]
        while waiting:
            left = []
            for config, place, node in waiting:
                try:
                    found = self._call(config, node, layers, tensors)
                except _NotYetError:
                    left.append((config, place, node))
                    continue
                several = found if isinstance(found, list | tuple) else [found]
                tensors.update({(config["name"], place, at): tensor for at, tensor in enumerate(several)})
            if len(left) == len(waiting):
                raise BundleError(f"has a layer {left[0][0]['name']} whose input is not in the file")
            waiting = left
        ends = [
            [tensors[tuple(end[:3])] for end in _as_list(settings[side])]
            for side in ("input_layers", "output_layers")
        ]
        return self.keras.Model(*(end[0] if len(end) == 1 else end for end in ends))

    def _call(
        self,
        config: Any,  # noqa: ANN401
        node: Any,  # noqa: ANN401
        layers: dict[str, Any],
        tensors: dict[tuple[str, int, int], Any],
    ) -> Any:  # noqa: ANN401
        """Return the output of one layer for one of its inputs."""
        kind, name = config["class_name"], config["name"]
        if kind in _OPERATIONS:
            return self._operate(config["config"]["function"], node, tensors)
        if name not in layers:
            layers[name] = self.build(config)
        if node is None:
            return layers[name].output
        for source in _as_list(node):
            for key, value in (source[3] if len(source) > 3 else {}).items():  # noqa: PLR2004 (name, call, place)
                if repr(value) not in _NO_CALL:
                    raise BundleError(f"calls its layer {name} with {key}={value}, which cannot be imported")
        sources = [_tensor(source, tensors) for source in _as_list(node)]
        return layers[name](sources[0] if len(sources) == 1 else sources)

    def _operate(self, function: str, node: Any, tensors: dict[tuple[str, int, int], Any]) -> Any:  # noqa: ANN401
        """Return the output of a function of TensorFlow between two layers."""
        known = self.functions.get(function)
        if known is None:
            raise BundleError(f"calls tf.{function} between its layers, which cannot be imported")
        source = node[0] if isinstance(node[0], list) else node
        first = source[2] if source[0] == "_CONSTANT_VALUE" else _tensor(source, tensors)
        if isinstance(node[0], list) and len(node) > 1:
            first = [_tensor(one, tensors) for one in node]
        settings = {
            key: _tensor(value, tensors) if _is_tensor(value) else value
            for key, value in source[3].items()
            if key != "name" and value is not None
        }
        try:
            return known(first, **settings)
        except TypeError as error:
            raise BundleError(f"calls tf.{function} with arguments that cannot be imported") from error


class _NotYetError(Exception):
    """The input of a layer is not there yet."""


def _as_list(node: Any) -> list[Any]:  # noqa: ANN401
    """Return the tensors of a node as a list, also if it is a single one."""
    return [node] if isinstance(node[0], str) else list(node)


def _is_tensor(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)  # noqa: PLR2004 (name, call, place)


def _tensor(source: list[Any], tensors: dict[tuple[str, int, int], Any]) -> Any:  # noqa: ANN401
    try:
        return tensors[source[0], source[1], source[2]]
    except KeyError:
        raise _NotYetError from None


def _functions(keras: Any) -> dict[str, Callable[..., Any]]:  # noqa: ANN401
    """Return the functions of TensorFlow that people call between layers, by name.

    Each takes the arguments of TensorFlow by the same names, and raises a TypeError for any other.
    """
    ops = keras.ops

    def add_bias(x: Any, bias: Any, data_format: str = "NHWC") -> Any:  # noqa: ANN401
        if data_format != "NHWC":
            raise TypeError(data_format)
        return x + np.asarray(bias, np.float32)

    def cast(x: Any, dtype: str) -> Any:  # noqa: ANN401
        if dtype != "float32":
            raise TypeError(dtype)
        return x

    def clip(x: Any, clip_value_min: float, clip_value_max: float) -> Any:  # noqa: ANN401
        return ops.clip(x, clip_value_min, clip_value_max)

    def reshape(x: Any, shape: Any) -> Any:  # noqa: ANN401 (Keras calls the second newshape)
        return ops.reshape(x, shape)

    def pick(x: Any, slice_spec: Any) -> Any:  # noqa: ANN401
        wanted = _slices(slice_spec)
        backwards = [place for place, part in enumerate(wanted) if part == slice(None, None, -1)]
        if not backwards:
            return x[wanted]
        if any(part not in (Ellipsis, slice(None), slice(None, None, -1)) for part in wanted):
            raise TypeError(wanted)
        from_end = Ellipsis in wanted  # torch takes no negative steps
        return ops.flip(x, axis=[place - len(wanted) if from_end else place for place in backwards])

    return {
        **dict.fromkeys(("math.truediv", "math.divide", "truediv", "divide"), lambda x, y: x / y),
        **dict.fromkeys(("math.multiply", "multiply", "__operators__.mul"), lambda x, y: x * y),
        **dict.fromkeys(("math.add", "add", "__operators__.add"), lambda x, y: x + y),
        **dict.fromkeys(("math.subtract", "subtract", "__operators__.sub"), lambda x, y: x - y),
        **dict.fromkeys(("math.reduce_mean", "reduce_mean"), ops.mean),  # axis, keepdims
        **dict.fromkeys(("math.reduce_max", "reduce_max"), ops.max),
        **dict.fromkeys(("math.sigmoid", "nn.sigmoid", "sigmoid"), ops.sigmoid),
        **dict.fromkeys(("nn.silu", "nn.swish"), ops.silu),
        "__operators__.getitem": pick,
        "cast": cast,
        "clip_by_value": clip,
        "concat": ops.concatenate,
        "nn.bias_add": add_bias,
        "nn.relu": ops.relu,
        "nn.relu6": ops.relu6,
        "nn.softmax": ops.softmax,
        "reshape": reshape,
    }


def _slices(spec: Any) -> Any:  # noqa: ANN401
    """Return the NumPy index for a slice in the form of Keras 2."""
    parts = spec if isinstance(spec, list) else [spec]
    found: list[Any] = []
    for part in parts:
        if isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
            found.append(Ellipsis)
        elif isinstance(part, dict):
            found.append(slice(part.get("start"), part.get("stop"), part.get("step")))
        else:
            found.append(part)
    return tuple(found)
