"""Which families of timm come out of the two ONNX exporters, and answer as PyTorch does in two runtimes?

python benchmarks/correctness/timm_export.py [NAME ...]

Needs onnxruntime beside the package's training extra. The weights are random, and so are those that timm
starts at a constant (scales of norms, layer scales, the last scale of a branch): a branch that adds nothing
would hide a wrong answer. Statistics of batch norms are those of drawn pictures. The last column says how
much the logits of a class vary among pictures: where that is little, differences are magnified.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import openvino
import timm
import torch
from torch import Tensor, nn

TOLERANCE = 1e-4
SIDES = {  # networks that cannot do with 96 pixels, and what they are asked for
    "eva02_tiny_patch14_224": 112,
    "swin_tiny_patch4_window7_224": 224,
    "swinv2_tiny_window8_256": 256,
    "maxvit_pico_rw_256": 256,
    "hiera_tiny_224": 224,
    "davit_tiny": 224,
}
NETWORKS = {  # what is in it that a runtime could compute otherwise
    "vit_tiny_patch16_224": "attention, GELU",
    "deit3_small_patch16_224": "layer scale",
    "vit_tiny_patch16_dinov3_qkvb": "rotary embedding, registers",
    "eva02_tiny_patch14_224": "rotary embedding, SwiGLU",
    "swin_tiny_patch4_window7_224": "shifted windows",
    "swinv2_tiny_window8_256": "cosine attention",
    "maxvit_pico_rw_256": "windows and grids",
    "hiera_tiny_224": "attention that pools",
    "davit_tiny": "attention over channels",
    "xcit_nano_12_p16_224": "cross-covariance attention",
    "efficientvit_b0": "linear attention",
    "efficientvit_m0": "cascaded attention",
    "tiny_vit_5m_224": "attention in windows",
    "swiftformer_xs": "additive attention",
    "caformer_s18": "StarReLU, norm without mean",
    "mambaout_femto": "gated convolutions",
    "convnext_atto": "layer norm over channels",
    "convnext_zepto_rms": "RMS norm",
    "convnextv2_atto": "global response norm",
    "inception_next_atto": "split convolutions",
    "edgenext_xx_small": "cross-covariance attention",
    "starnet_s050": "products of features",
    "fastvit_t8": "branches that can be merged",
    "repvit_m0_9": "branches that can be merged",
    "mobileone_s0": "branches that can be merged",
    "mobilenetv4_conv_small_035": "universal inverted bottleneck",
    "mobilenetv4_hybrid_medium_075": "multi-query attention",
    "efficientnet_lite0": "ReLU6",
    "hgnetv2_b0": "learnable affine activations",
    "ghostnetv3_050": "ghost modules",
    "regnety_002": "squeeze and excitation",
    "test_nfnet": "weights standardised in the graph",
}
GUESSES = {  # written before the first run; what is not here was expected to be exact everywhere
    "vit_tiny_patch16_dinov3_qkvb": "old exporter: error",
    "swin_tiny_patch4_window7_224": "old exporter: open batch fails",
    "swinv2_tiny_window8_256": "old exporter: open batch fails",
    "efficientvit_b0": "OpenVINO: not to 1e-4",
    "convnext_zepto_rms": "old exporter: error",
    "test_nfnet": "OpenVINO: not to 1e-4",
}


def main(names: list[str]) -> None:
    print(
        "| network | what is in it | expected | new, ORT | new, OpenVINO | "
        "old, ORT | old, OpenVINO | spread |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in names or NETWORKS:
        cells = one(name)
        print(
            "| " + " | ".join([name, NETWORKS[name], GUESSES.get(name, "exact"), *cells]) + " |", flush=True
        )


def one(name: str) -> list[str]:
    """Return the four cells of a network."""
    torch.manual_seed(0)
    side = SIDES.get(name, 96)
    described = timm.get_pretrained_cfg(name)
    size = {"img_size": side} if described and described.fixed_input_size else {}
    network = timm.create_model(name, num_classes=7, **size)
    unsettle(network)
    with torch.inference_mode():
        network.train()(pictures(16, side))
    network.eval()
    with torch.inference_mode():
        scale = torch.std_mean(network(pictures(16, side)), dim=0)
    cells = []
    for new in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.onnx")
            failed = attempt(lambda p=path, n=new: export(network, p, side, new=n))
            if failed:
                cells += [failed, "-"]
                continue
            cells += [
                compare(runtime, path, network, side, scale) for runtime in (with_onnxruntime, with_openvino)
            ]
    return [*cells, f"{float(scale[0].mean()):.2f}"]


def unsettle(network: nn.Module) -> None:
    """Draw weights so that the answer depends on the picture, as after training.

    Matrices and filters keep the variance of what they are given. Weights that start at a constant get noise.
    Statistics of batch norms become plain means.
    """
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim in {2, 4}:
                weight.normal_(0, weight[0].numel() ** -0.5)
            elif weight.numel() == 1 or float(weight.std()) < 1e-6:  # noqa: PLR2004 (constant)
                weight.add_(0.2 * torch.randn_like(weight))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            layer.momentum = None


def pictures(number: int, side: int) -> Tensor:
    coarse = torch.randn(number, 3, 8, 8)
    return nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")


def export(network: nn.Module, path: Path, side: int, *, new: bool) -> None:
    trial = torch.randn(2, 3, side, side)
    if new:
        count = {"x": {0: torch.export.Dim("N", min=1, max=64)}}
        shapes = tuple(count.values())
        torch.onnx.export(
            network, (trial,), path, dynamo=True, opset_version=18, dynamic_shapes=shapes, verbose=False
        )
    else:
        axes = {"image": {0: "N"}}
        torch.onnx.export(
            network, (trial,), path, dynamo=False, opset_version=18, input_names=["image"], dynamic_axes=axes
        )


def compare(
    runtime: Callable[[Path], Callable[[Any], Any]],
    path: Path,
    network: nn.Module,
    side: int,
    scale: tuple[Tensor, Tensor],
) -> str:
    """Return by how much a probability differs, over batches of one, three and five pictures.

    The logits are scaled to a spread of 2 among pictures, as those of a trained network have.
    """
    found = []
    spread, middle = scale

    def measure() -> None:
        answer = runtime(path)
        for number in (1, 3, 5):
            images = pictures(number, side)
            with torch.inference_mode():
                both = network(images), torch.as_tensor(answer(images.numpy()))
            expected, got = ((2 * (logits - middle) / spread).softmax(1) for logits in both)
            found.append(float((got - expected).abs().nan_to_num(1.0).max()))

    failed = attempt(measure)
    if failed:
        return failed
    worst = max(found)
    return f"{worst:.0e}" if worst < TOLERANCE else f"**{worst:.0e}**"


def with_onnxruntime(path: Path) -> Callable[[Any], Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]


def with_openvino(path: Path) -> Callable[[Any], Any]:
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled(images)[0]


def attempt(step: Callable[[], None]) -> str:
    """Return the kind and the first line of the error of a step; nothing if it succeeds."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 (every kind is a result)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
        return f"{type(error).__name__}: {lines[0][:110]}".replace("|", "/")
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
