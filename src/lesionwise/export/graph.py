"""From networks to a bundle: one graph from bytes of pixels to calibrated probabilities.

Here: the graph (view, members, calibration), writing it as ONNX, and comparing it with PyTorch. Not here: the
source of networks and facts (`lesionwise.export.run`).
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from lesionwise.bundle.description import Output
from lesionwise.bundle.engine import Engine
from lesionwise.data.images import fit_image
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import Scaling
from lesionwise.evaluation.rejection import Rejection
from lesionwise.labels import CODES
from lesionwise.models.network import Network

OPSET: Final = 18
TOLERANCE: Final = 1e-4
"""Accepted difference of a probability of the bundle from PyTorch's."""

OUTPUT_TOLERANCE: Final = 1e-2
"""The same for a value of the other outputs, as a fraction of it."""

_BAND: Final = 32  # lines of a view that are computed at a time
_TRIAL_IMAGES: Final = 8
_TINY: Final = 1e-12  # keeps the logarithm finite, as in `evaluation.runs.ensemble`


class Resample(nn.Module):
    """Cuts and resizes, as matrix products: the only form in which all runtimes resize alike.

    A line of the view is made of two or three neighbouring lines of the image, so nearly the whole matrix is
    zero. Therefore a band of lines is computed at a time, from the few lines of the image that it needs: the
    sums are the same, and most products with zero are left out.

    Args:
        rows: Composition of each row of the view, shape (h, H).
        columns: Composition of each column of the view, shape (w, W).
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.box = (slice(None), _reach(rows), _reach(columns))
        self.rows = nn.ModuleList(map(Band, torch.split(rows[:, self.box[1]] / 255, _BAND)))
        self.columns = nn.ModuleList(map(Band, torch.split(columns[:, self.box[2]], _BAND)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the view (B, 3, h, w), RGB in [0, 1], of images (B, H, W, 3), uint8."""
        pixels = images[self.box].permute(0, 3, 1, 2)  # cut first, while a pixel is three bytes
        tall = torch.cat([band(pixels) for band in self.rows], dim=2).transpose(2, 3)
        return torch.cat([band(tall) for band in self.columns], dim=2).transpose(2, 3)


class Band(nn.Module):
    """Some neighbouring lines of a view. `lines`: composition of each, shape (n, N).

    They stand left of the pixels, the form that every runtime computes, OpenCV 5.0 too.
    """

    lines: Tensor

    def __init__(self, lines: Tensor) -> None:
        super().__init__()
        self.reach = _reach(lines)
        self.register_buffer("lines", lines[:, self.reach].contiguous())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the lines (B, 3, n, M) of pixels (B, 3, N, M)."""
        return self.lines @ pixels[:, :, self.reach].float()


class Whole(nn.Module):
    """The view of a network that sees every pixel unchanged."""

    def forward(self, images: Tensor) -> Tensor:
        """Return RGB (B, 3, H, W) in [0, 1] of images (B, H, W, 3), uint8."""
        return images.permute(0, 3, 1, 2).float() / 255


def _reach(lines: Tensor) -> slice:
    """Return the pixels from the first to the last that any line uses."""
    used = lines.any(0).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1)


class Member(nn.Module):
    """One trained network with its view and its own calibration.

    Args:
        scaling: Scaling of its logits, where members are averaged; None for a model alone.
    """

    def __init__(self, network: Network, view: nn.Module, scaling: Scaling | None = None) -> None:
        super().__init__()
        self.network = network
        self.view = view
        self.scaled = Scaled(scaling)


class Scaled(nn.Module):
    """Multiplies and shifts logits; without a scaling it leaves them unchanged."""

    factor: Tensor
    offset: Tensor

    def __init__(self, scaling: Scaling | None) -> None:
        super().__init__()
        factor = np.ones(len(CODES)) if scaling is None else scaling.factor
        offset = np.zeros(len(CODES)) if scaling is None else scaling.offset
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float32))
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32))

    def forward(self, logits: Tensor) -> Tensor:
        """Return the scaled logits (B, C)."""
        return logits * self.factor + self.offset


class RejectionScore(nn.Module):
    """The score of `evaluation.rejection`: how unlike a lesion image each picture is."""

    middle: Tensor
    direction: Tensor

    def __init__(self, rejection: Rejection) -> None:
        super().__init__()
        self.register_buffer("middle", torch.tensor(rejection.middle, dtype=torch.float32))
        self.register_buffer("direction", torch.tensor(rejection.direction, dtype=torch.float32)[:, None])
        self.offset = rejection.offset

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the scores (B,) of pictures with these embeddings (B, D)."""
        return ((embedding - self.middle) @ self.direction).squeeze(1) + self.offset


class BundleGraph(nn.Module):
    """The whole graph.

    Several members are averaged: the raw output is then the logarithm of the mean of their calibrated
    probabilities, which the calibration of the ensemble scales. Their embeddings are concatenated. There is
    no map, because none is exact for a mean of probabilities.

    Args:
        scaling: Scaling from raw outputs to calibrated ones; None leaves them unchanged.
        rejection: Function from the embedding (B, D) to the rejection score (B,); None gives no such output.
    """

    def __init__(
        self, members: Sequence[Member], scaling: Scaling | None, rejection: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.members = tuple(members)
        self.registered = nn.ModuleList(members)
        self.scaled = Scaled(scaling)
        self.rejection = rejection

    def forward(self, image: Tensor, metadata: Tensor | None = None) -> dict[str, Tensor]:
        """Return the outputs by name for images (B, H, W, 3), uint8, and encoded metadata (B, M)."""
        found = [member.network.outputs(member.view(image), metadata) for member in self.members]
        logits, cam = found[0].logits, found[0].cam
        if len(found) > 1:
            each = [m.scaled(out.logits).softmax(1) for m, out in zip(self.members, found, strict=True)]
            logits, cam = torch.stack(each).mean(0).clamp_min(_TINY).log(), None
        embedding = torch.cat([out.embedding for out in found], dim=1)
        outputs = {
            "probabilities": self.scaled(logits).softmax(1),
            "logits": logits,
            "embedding": embedding,
            "ood_score": None if self.rejection is None else self.rejection(embedding),
            "cam": cam,
        }
        return {name: value for name, value in outputs.items() if value is not None}


class Exported(NamedTuple):
    """A graph as ONNX. `content`: the file, without a description."""

    content: bytes
    outputs: tuple[Output, ...]


def to_onnx(graph: BundleGraph, size: tuple[int, int], *, metadata: int = 0) -> Exported:
    """Write a graph as ONNX, for any number of images at a time.

    Args:
        metadata: Length of the encoded metadata; 0 for a graph with only one input.
    """
    trial = {"image": torch.zeros(2, *size, 3, dtype=torch.uint8)}
    if metadata:
        trial["metadata"] = torch.zeros(2, metadata)
    with torch.inference_mode():
        outputs: tuple[Output, ...] = tuple(graph(**trial))
    try:
        model = _exported(graph, trial, outputs)
    except torch.onnx.OnnxExporterError as error:
        model = _traced(graph, trial, outputs, error)
    return Exported(without_traces(model), outputs)


def _exported(
    graph: BundleGraph, trial: Mapping[str, Tensor], outputs: tuple[Output, ...]
) -> onnx.ModelProto:
    count = torch.export.Dim("N", min=1, max=65_535)
    with warnings.catch_warnings():
        # Both inputs have the same number of rows, but only one of them can name it.
        warnings.filterwarnings("ignore", ".*axis name: N will not be used.*")
        program = torch.onnx.export(
            graph,
            tuple(trial.values()),
            input_names=list(trial),
            output_names=list(outputs),
            dynamic_shapes={name: {0: count} for name in trial},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise BundleError("PyTorch gave no ONNX graph.")
    return program.model_proto


def _traced(
    graph: BundleGraph, trial: Mapping[str, Tensor], outputs: tuple[Output, ...], refused: Exception
) -> onnx.ModelProto:
    """Return the graph by PyTorch's earlier exporter, which takes some networks that the present one refuses.

    What it traced is right for the trial's number of images; `verify_parity` asks with another.
    """
    content = BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated, and each size that it takes as fixed
            torch.onnx.export(
                graph,
                tuple(trial.values()),
                content,  # type: ignore[arg-type]  # the earlier exporter takes a file, as before
                input_names=list(trial),
                output_names=list(outputs),
                dynamic_axes={name: {0: "N"} for name in (*trial, *outputs)},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # tracing runs the network's own code, which raises what it likes
        raise BundleError(
            f"PyTorch {torch.__version__} cannot write this network as ONNX: {_in_short(refused)}; nor can "
            f"its earlier exporter: {_in_short(error)}. The run itself is complete. For a bundle, choose "
            "another network."
        ) from error
    return onnx.load_from_string(content.getvalue())


def _in_short(error: Exception) -> str:
    """Return the first sentence, which a report of the exporter follows."""
    return re.split(r"\.\s|\n|\x1b", str(error).strip())[0][:200]


def verify_parity(graph: BundleGraph, engine: Engine) -> float:
    """Make sure that a bundle answers like its network, and return the largest difference.

    Raises:
        BundleError: If a probability differs by more than `TOLERANCE`, or a value of another output by more
            than `OUTPUT_TOLERANCE` of itself, or of 1 if it is smaller.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (_TRIAL_IMAGES, 12, 16, 3), np.uint8)
    pixels = np.stack([fit_image(image, engine.description.input.size) for image in coarse])
    encoding, metadata = engine.description.metadata, None
    if encoding is not None:
        metadata = np.random.default_rng(1).normal(size=(_TRIAL_IMAGES, encoding.length)).astype(np.float32)
        metadata[0] = 0  # the first image has none
    with torch.inference_mode():
        answers = graph(torch.from_numpy(pixels), None if metadata is None else torch.from_numpy(metadata))
    expected = {name: value.numpy() for name, value in answers.items()}
    found = engine.look(pixels, metadata)
    difference = float(np.abs(found["probabilities"] - expected["probabilities"]).max())
    if not difference <= TOLERANCE:
        raise BundleError(
            f"{engine.bundle.path}: was not written: expected the probabilities of PyTorch within "
            f"{TOLERANCE} but they differ by {difference:.2g} on {engine.runtime}."
        )
    for name in expected.keys() - {"probabilities"}:
        values = expected[name]
        drift = (np.abs(found[name] - values) / np.maximum(np.abs(values), 1)).max()
        if not drift <= OUTPUT_TOLERANCE:
            raise BundleError(
                f"{engine.bundle.path}: was not written: expected the {name} of PyTorch within "
                f"{OUTPUT_TOLERANCE:.0%} but it is off by {drift:.1%} on {engine.runtime}."
            )
    return difference


def without_traces(model: onnx.ModelProto) -> bytes:
    """Return the file without the exporter's notes, which contain file names of this machine."""
    model.producer_name, model.producer_version, model.doc_string = "lesionwise", "", ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.name, model.graph.doc_string = "lesionwise", ""
    for place, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"{node.op_type}_{place}", ""
        del node.metadata_props[:]
    for port in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        port.doc_string = ""
        del port.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
