"""Make the zoo: small models in the forms in which people bring them, with what each answered there.

    python make.py tensorflow OUT     # TensorFlow 2.15 with tf2onnx
    python make.py keras OUT          # Keras 3 on torch
    python make.py torch OUT          # PyTorch with onnx

Each call writes its files into OUT, and `<tool>.json`: for each file its conventions, and either its answers
for three pictures or why it must be refused. All weights are random.
"""
# ruff: noqa: PLC0415 (each tool is imported where it is installed)
# mypy: ignore-errors

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

OUT = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()
SCALED = {"gives": "probabilities", "divide": 255.0, "mean": [0.5, 0.4, 0.6], "std": [0.25, 0.2, 0.3]}
PLAIN = {"gives": "probabilities", "divide": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
NOTES: dict[str, dict[str, Any]] = {}


def pictures(height: int, width: int) -> Any:
    """Three coarse pictures, the same for every tool."""
    coarse = np.random.default_rng(7).integers(0, 256, (3, -(-height // 4), -(-width // 4), 3), np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]


def prepared(conventions: dict[str, Any], size: tuple[int, int]) -> Any:
    """The pictures as a model takes them, channels last."""
    scaled = (pictures(*size) / conventions["divide"] - conventions["mean"]) / conventions["std"]
    ordered = scaled[..., ::-1] if conventions.get("channels") == "bgr" else scaled
    return np.ascontiguousarray(ordered, np.float32)


def note(name: str, tool: str, conventions: dict[str, Any], answers: Any = None, refused: str = "") -> None:
    found = {} if answers is None else {"answers": np.asarray(answers, float).round(7).tolist()}
    why = {"refused": refused} if refused else {}
    NOTES[name] = {"tool": tool, **conventions, **found, **why}


def random_weights(model: Any, seed: int, taken: Callable[[Any], Any], pixels: Any) -> None:
    """Give a Keras model weights with which its answers differ from picture to picture."""
    rng = np.random.default_rng(seed)
    made = []
    for weights in model.weights:
        name, shape = getattr(weights, "path", weights.name).lower(), tuple(weights.shape)
        if "variance" in name or "gamma" in name:
            made.append(rng.uniform(0.5, 1.5, shape))
        elif "count" in name or "iteration" in name or "seed" in name:
            made.append(np.asarray(weights))
        elif len(shape) < 2:  # a bias
            made.append(rng.normal(0, 0.1, shape))
        else:
            made.append(rng.normal(0, 1.4 / np.sqrt(np.prod(shape[:-1])), shape))
    model.set_weights([np.asarray(values, np.float32) for values in made])
    last = next(layer for layer in reversed(model.layers) if layer.get_weights())
    found = np.log(np.maximum(taken(pixels), 1e-30))
    kernel, bias = last.get_weights()
    grow = 2 / max(float((found - found.mean(0)).std()), 1e-3)
    last.set_weights([kernel * grow, bias * grow - (found * grow).mean(0)])


def seed_cnn(keras: Any, height: int, width: int) -> Any:
    """The network of the recipe seed-cnn, as notebooks write it."""
    layers = keras.layers
    same = {"activation": "relu", "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((height, width, 3)),
            *(layers.Conv2D(32, 3, **same), layers.Conv2D(32, 3, **same), layers.MaxPool2D()),
            *(layers.Dropout(0.25), layers.Conv2D(64, 3, **same), layers.Conv2D(64, 3, **same)),
            *(layers.MaxPool2D(), layers.Dropout(0.4), layers.Flatten()),
            *(layers.Dense(128, "relu"), layers.Dropout(0.5), layers.Dense(7, "softmax")),
        ]
    )


def seed_mlp(keras: Any, height: int, width: int) -> Any:
    """The network of the recipe seed-mlp, as notebooks write it."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((height, width, 3)),
            *(layers.Dense(256, "relu"), layers.Dropout(0.3), layers.Dense(128, "relu")),
            *(layers.Dropout(0.3), layers.Dense(64, "relu"), layers.Flatten()),
            *(layers.Dense(32, "relu"), layers.Dense(7, "softmax")),
        ]
    )


def save_weights(name: str, tool: str, model: Any, recipe: str) -> None:
    """Save the weights of a recipe's network alone."""
    size = model.input_shape[1:3]
    random_weights(model, len(NOTES), lambda p: model.predict(p, verbose=0), x := prepared(SCALED, size))
    model.save_weights(OUT / name)
    note(name, tool, {**SCALED, "size": size, "recipe": recipe}, model.predict(x, verbose=0))


def tensorflow() -> None:  # noqa: PLR0915 (a list)
    import tensorflow as tf

    keras, layers = tf.keras, tf.keras.layers
    apps = keras.applications
    tool = f"tf.keras {tf.__version__}"

    def save(
        name: str, model: Any, *, conventions: dict[str, Any] = SCALED, size: Any = (32, 32), **refused: str
    ) -> None:
        x = prepared(conventions, size)
        answer = lambda pixels: model.predict(pixels, verbose=0)  # noqa: E731
        if not refused:
            random_weights(model, len(NOTES), answer, x)
        model.save(OUT / name)
        note(
            name,
            tool,
            {**conventions, **({"size": size} if None in model.input_shape[1:] else {})},
            None if refused else answer(x),
            **refused,
        )

    def headed(base: Any, last: str, *, outputs: int = 7) -> Any:
        cut = keras.Model(base.input, base.get_layer(last).output)
        pooled = layers.GlobalAveragePooling2D()(cut.output)
        return keras.Model(
            cut.input, layers.Dense(outputs, activation="softmax")(layers.Dropout(0.3)(pooled))
        )

    def cnn(outputs: int = 7, last: str = "softmax", shape: Any = (32, 32, 3)) -> Any:
        return keras.Sequential(
            [
                layers.Conv2D(6, 3, activation="relu", padding="same", input_shape=shape),
                layers.MaxPool2D(2),
                layers.Dropout(0.25),
                layers.Conv2D(8, 3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.Activation("relu"),
                layers.MaxPool2D(2),
                layers.Flatten(),
                layers.Dense(12, activation="relu"),
                layers.Dense(outputs, activation=last),
            ]
        )

    shape = (32, 32, 3)
    model = cnn()
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    save("tf2-notebook.h5", model)
    save("tf2-notebook.keras", cnn())
    mobile = apps.MobileNet(input_shape=shape, alpha=0.2, weights=None, include_top=False)
    save("tf2-mobilenet.h5", headed(mobile, "conv_pw_2_relu"))
    save("tf2-mobilenet.keras", headed(mobile, "conv_pw_2_relu"))
    second = apps.MobileNetV2(input_shape=shape, alpha=0.2, weights=None, include_top=False)
    save("tf2-mobilenetv2.h5", headed(second, "block_2_add"))
    efficient = apps.EfficientNetB0(input_shape=shape, weights=None, include_top=False)
    save("tf2-efficientnet.h5", headed(efficient, "block1a_project_bn"), conventions=PLAIN)
    efficient2 = apps.EfficientNetV2B0(input_shape=shape, weights=None, include_top=False)
    save("tf2-efficientnetv2.h5", headed(efficient2, "block1a_project_activation"), conventions=PLAIN)
    x = inputs = keras.Input(shape)
    x = layers.ZeroPadding2D(((3, 3), (3, 3)))(x)
    x = layers.Conv2D(8, 7, strides=2, use_bias=False, name="conv1/conv")(x)
    x = layers.BatchNormalization(axis=3, epsilon=1.001e-5, name="conv1/bn")(x)
    y = layers.Conv2D(4, 3, padding="same", name="block/1_conv")(
        layers.Activation("relu", name="conv1/relu")(x)
    )
    x = layers.Concatenate(axis=3, name="block/1_concat")([x, y])
    x = layers.AveragePooling2D(2, strides=2)(x)
    x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D(name="avg/pool")(x))
    save("tf2-densenet.h5", keras.Model(inputs, x))
    dense = apps.DenseNet121(input_shape=shape, weights=None, include_top=False)
    save("tf2-densenet121-start.h5", headed(dense, "pool1"))
    resnet = apps.ResNet50(input_shape=shape, weights=None, include_top=False)
    save("tf2-resnet50-start.h5", headed(resnet, "pool1_pool"))
    small = keras.Input(shape)
    x = layers.Conv2D(6, 3, activation="relu", padding="same", name="block1_conv1")(small)
    x = layers.MaxPooling2D((2, 2), strides=(2, 2), name="block1_pool")(x)
    vgg = keras.Model(small, layers.Conv2D(6, 3, activation="relu", name="block2_conv1")(x), name="vgg16")
    save(
        "tf2-vgg-sequential.h5",
        keras.Sequential([vgg, layers.Flatten(), layers.Dense(7, activation="softmax")]),
    )
    inner = keras.Sequential([layers.Conv2D(5, 3, input_shape=shape), layers.ReLU(6.0)], name="features")
    save(
        "tf2-nested-sequential.h5",
        keras.Sequential([inner, layers.GlobalMaxPooling2D(), layers.Dense(7, activation="softmax")]),
    )
    for name, preprocess in (
        ("mobilenetv2", apps.mobilenet_v2.preprocess_input),
        ("vgg", apps.vgg16.preprocess_input),
    ):
        inputs = keras.Input(shape)
        x = layers.Conv2D(6, 3, strides=2, activation="relu")(preprocess(inputs))
        x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x))
        save(f"tf2-preprocess-{name}.h5", keras.Model(inputs, x), conventions=PLAIN)
    inputs = keras.Input(shape)
    x = tf.nn.relu(layers.Conv2D(6, 3, strides=2)(inputs / 255.0))
    x = tf.reduce_mean(x, axis=[1, 2])
    save("tf2-functions.h5", keras.Model(inputs, tf.nn.softmax(layers.Dense(7)(x))), conventions=PLAIN)
    inputs = keras.Input(shape)
    x = layers.RandomRotation(0.2)(layers.RandomFlip("horizontal_and_vertical")(inputs))
    x = layers.GaussianNoise(0.1)(layers.Rescaling(1 / 127.5, offset=-1)(x))
    x = layers.LeakyReLU(alpha=0.2)(layers.SeparableConv2D(6, 3, padding="same")(x))
    x = layers.SpatialDropout2D(0.2)(layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(4, 3, strides=2)(x)))
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.ELU()(x))
    x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D(keepdims=False)(x))
    save("tf2-augmenting.h5", keras.Model(inputs, x), conventions=PLAIN)

    def mixed() -> Any:
        x = layers.Conv2D(6, 3, strides=2, activation="relu")(inputs := keras.Input(shape))
        x = layers.Dense(7)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))

    full = mixed()  # what its weights say; in sixteen bits TensorFlow itself is off by 0.007
    save("tf2-mixed-precision.h5", full)
    keras.mixed_precision.set_global_policy("mixed_float16")
    half = mixed()
    half.set_weights(full.get_weights())
    half.save(OUT / "tf2-mixed-precision.h5")
    keras.mixed_precision.set_global_policy("float32")
    open_ = keras.Sequential(
        [
            layers.Conv2D(6, 3, activation="relu", input_shape=(None, None, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7, activation="softmax"),
        ]
    )
    save("tf2-open-size.h5", open_, size=(24, 40))
    save("tf2-bgr.h5", cnn(), conventions={**SCALED, "channels": "bgr"})
    for outputs, words in ((1, "1 output"), (2, "2 outputs"), (8, "8 outputs")):
        save(
            f"tf2-outputs-{outputs}.h5",
            cnn(outputs, "sigmoid" if outputs == 1 else "softmax"),
            refused=f"gives {words} for each image; expected 7",
        )
    save("tf2-sigmoids.h5", cnn(last="sigmoid"), refused="sigmoid")
    inputs = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Lambda(lambda t: t / 255.0)(inputs))
    x = layers.Dense(7, activation="softmax")(x)
    save("tf2-lambda.h5", keras.Model(inputs, x), refused="Lambda layer, which contains code")

    class ChannelAttention(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * tf.sigmoid(inputs)

    save(
        "tf2-own-layer.h5",
        keras.Sequential(
            [layers.GlobalAveragePooling2D(input_shape=shape), ChannelAttention(), layers.Dense(7, "softmax")]
        ),
        refused="ChannelAttention.*is not a layer of Keras",
    )
    age = keras.Input((1,))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(inputs := keras.Input(shape)), age])
    two = keras.Model([inputs, age], layers.Dense(7, activation="softmax")(x))
    two.save(OUT / "tf2-two-inputs.h5")
    note("tf2-two-inputs.h5", tool, SCALED, refused="2 inputs")
    model = cnn()
    model.save_weights(OUT / "tf2-weights.h5")
    note("tf2-weights.h5", tool, SCALED, refused="weights without an architecture")
    (OUT / "tf2-model.json").write_text(model.to_json())
    note("tf2-model.json", tool, SCALED, refused="architecture without weights")
    tiny = keras.Sequential(
        [layers.GlobalAveragePooling2D(input_shape=shape), layers.Dense(7, activation="softmax")]
    )
    tiny.save(OUT / "tf2-savedmodel")
    note("tf2-savedmodel", tool, SCALED, refused="SavedModel.*tf2onnx")
    (OUT / "tf2-model.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(tiny).convert())
    note("tf2-model.tflite", tool, SCALED, refused="TensorFlow Lite.*tf2onnx")
    tiny.save_weights(OUT / "checkpoint" / "tf2-checkpoint")
    (OUT / "checkpoint" / "tf2-checkpoint.index").rename(OUT / "tf2-checkpoint.index")
    note("tf2-checkpoint.index", tool, SCALED, refused="checkpoint of TensorFlow")
    import tf2onnx

    for opset in (11, 13, 17):
        model = cnn()
        random_weights(model, opset, lambda p, m=model: m.predict(p, verbose=0), prepared(SCALED, (32, 32)))
        name = f"tf2onnx-opset{opset}.onnx"
        tf2onnx.convert.from_keras(model, opset=opset, output_path=str(OUT / name))
        note(
            name,
            f"{tool}, tf2onnx {tf2onnx.__version__}",
            SCALED,
            model.predict(prepared(SCALED, (32, 32)), verbose=0),
        )
    save_weights("tf2-weights-seed-cnn.h5", tool, seed_cnn(keras, 8, 12), "seed-cnn")


def keras() -> None:
    import keras
    from keras import layers

    tool = f"Keras {keras.__version__} on torch"
    shape = (32, 32, 3)

    def cnn(inputs: Any, last: str = "softmax") -> Any:
        x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(inputs)
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.GlobalAveragePooling2D()(layers.Activation("relu6")(layers.BatchNormalization()(x)))
        return layers.Dense(7, activation=last)(layers.Dropout(0.4)(x))

    def save(name: str, model: Any, *, conventions: dict[str, Any] = SCALED, size: Any = (32, 32)) -> None:
        x = prepared(conventions, size)
        random_weights(model, len(NOTES), lambda pixels: model.predict(pixels, verbose=0), x)
        model.save(OUT / name)
        sized = {"size": size} if None in model.input_shape[1:] else {}
        note(name, tool, {**conventions, **sized}, model.predict(x, verbose=0))

    inputs = keras.Input(shape)
    whole = keras.Model(inputs, cnn(inputs))
    save("keras3.keras", whole)
    save("keras3.h5", whole)
    for name, other in (("keras3-zip-called.h5", "keras3.keras"), ("keras3-hdf5-called.keras", "keras3.h5")):
        (OUT / name).write_bytes((OUT / other).read_bytes())
        NOTES[name] = NOTES[other]
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    save("keras3-rescaling.keras", keras.Model(inputs, cnn(scaled)), conventions=PLAIN)
    divided = (inputs - 127.5) / 127.5
    save("keras3-operations.keras", keras.Model(inputs, cnn(divided)), conventions=PLAIN)
    inputs = keras.Input((None, None, 3))
    save("keras3-open-size.keras", keras.Model(inputs, cnn(inputs)), size=(24, 40))
    whole.save_weights(OUT / "keras3.weights.h5")
    note("keras3.weights.h5", tool, SCALED, refused="weights without an architecture")
    inputs = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Lambda(lambda t: t / 255)(inputs))
    keras.Model(inputs, layers.Dense(7, activation="softmax")(x)).save(OUT / "keras3-lambda.keras")
    note("keras3-lambda.keras", tool, SCALED, refused="Lambda layer, which contains code")
    save_weights("keras3-seed-mlp.weights.h5", tool, seed_mlp(keras, 8, 8), "seed-mlp")


def torch() -> None:  # noqa: PLR0915 (a list)
    import onnx
    import safetensors.torch
    import torch
    from torch import nn

    tool = f"PyTorch {torch.__version__}"
    conventions = {**SCALED, "gives": "logits"}

    def cnn(outputs: int = 7, *more: nn.Module, channels: int = 3) -> Any:
        torch.manual_seed(len(NOTES))
        net = nn.Sequential(
            nn.Conv2d(channels, 6, 3, stride=2),
            nn.ReLU(),
            *more,
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(54, outputs),
        )
        nn.init.normal_(net[-1].weight, std=1.5)
        return net.eval()

    def save(name: str, net: Any, refused: str = "", *, half: bool = False, **options: Any) -> None:
        x = torch.from_numpy(prepared(SCALED, (32, 32))).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            answers = None if refused else torch.cat([net(one[None]) for one in x]).numpy()
        if options.pop("any_number", False):
            options["dynamic_shapes"] = ({0: torch.export.Dim("batch", min=1, max=64)},)
        if half:
            net = net.half()
        one = x[: 2 if "dynamic_shapes" in options else 1]
        torch.onnx.export(
            net,
            (one.half() if half else one,),
            OUT / name,
            verbose=False,
            **{"external_data": False, **options},
        )
        note(name, tool, conventions, answers, refused)

    save("torch.onnx", cnn(), any_number=True)
    save("torch-one-image.onnx", cnn())
    save("torch-data-beside.onnx", cnn(), any_number=True, external_data=True)
    save("torch-half.onnx", cnn(), half=True)
    NOTES["torch-half.onnx"]["tolerance"] = 0.01
    for opset in (9, 11, 13):
        save(f"torch-script-opset{opset}.onnx", cnn(), dynamo=False, opset_version=opset)
    view = cnn()
    view[3].forward = lambda x: x.view(1, -1)
    save("torch-view-one-image.onnx", view, dynamo=False, opset_version=12)
    for outputs in (1, 3, 8, 1000):
        save(
            f"torch-outputs-{outputs}.onnx",
            cnn(outputs),
            refused=f"gives {outputs:,} output",
            any_number=True,
        )
    resize: Any = nn.Upsample(scale_factor=0.5, mode="bilinear")
    resize.forward = lambda x: nn.functional.interpolate(x, (9, 9), mode="bilinear", antialias=True)
    save("torch-antialias.onnx", cnn(7, resize), refused="Resize with antialias=1", any_number=True)
    pool = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=True)
    even = nn.ZeroPad2d((0, 1, 0, 1))
    save("torch-average-ceil.onnx", cnn(7, even, pool), any_number=True)
    nodes = [
        onnx.helper.make_node(
            "AveragePool",
            ["x"],
            ["small"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1] * 4,
            ceil_mode=1,
            count_include_pad=1,
        ),
        onnx.helper.make_node("ReduceMax", ["small"], ["most"], axes=[2, 3], keepdims=0),
        onnx.helper.make_node("MatMul", ["most", "weights"], ["y"]),
    ]
    weights = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    ports = [
        [onnx.helper.make_tensor_value_info(name, 1, shape)]
        for name, shape in (("x", ["n", 3, 32, 32]), ("y", ["n", 7]))
    ]
    graph = onnx.helper.make_graph(nodes, "pool", *ports, [onnx.numpy_helper.from_array(weights, "weights")])
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), OUT / "average-ceil.onnx")
    note("average-ceil.onnx", f"onnx {onnx.__version__}", conventions, refused="AveragePool with ceil_mode=1")
    grey = cnn(channels=1)
    torch.onnx.export(
        grey, (torch.zeros(1, 1, 32, 32),), OUT / "torch-grey.onnx", external_data=False, verbose=False
    )
    note("torch-grey.onnx", tool, conventions, refused="expected an input")
    net = cnn()
    torch.save(net.state_dict(), OUT / "torch.pth")
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, OUT / "lightning.ckpt")
    torch.save(net.state_dict(), OUT / "torch-2019.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 32, 32)), OUT / "torch-script.pt")
    safetensors.torch.save_file(net.state_dict(), OUT / "torch.safetensors")
    for name in ("torch.pth", "lightning.ckpt", "torch-2019.pt", "torch-script.pt"):
        note(name, tool, conventions, refused="is a pickle")
    note("torch.safetensors", tool, conventions, refused="safetensors")
    (OUT / "cut-off.onnx").write_bytes((OUT / "torch.onnx").read_bytes()[:900])
    note("cut-off.onnx", tool, conventions, refused="damaged")
    model = onnx.load(OUT / "torch.onnx")
    second = model.graph.output.add()
    second.CopyFrom(model.graph.output[0])
    second.name = model.graph.node[0].output[0]
    del second.type.tensor_type.shape.dim[:]
    onnx.save(model, OUT / "two-outputs.onnx")
    note("two-outputs.onnx", f"{tool}, onnx {onnx.__version__}", conventions, refused="2 outputs")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    globals()[sys.argv[1]]()
    (OUT / f"{sys.argv[1]}.json").write_text(json.dumps(NOTES, indent=1) + "\n", encoding="utf-8")
