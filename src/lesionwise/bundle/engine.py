"""The engine: images in, answers out, through the bundle's graph.

Here: reading images by the bundle's rule, running them in batches, the record of answers. Not here: the
checks of the file (`load`), the runtimes (`runtimes`) and the rules of decisions (`decide`).
Letters: N images, C classes, D features, H W height and width in pixels, h w places of the map.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat, zip_longest
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

from lesionwise.bundle.decide import Decisions, decide
from lesionwise.bundle.description import Description, Precision
from lesionwise.bundle.load import Bundle, read_bundle
from lesionwise.bundle.runtimes import Arrays, Pixels, Run, Runtime, start
from lesionwise.data.images import fit_image, read_image
from lesionwise.data.metadata import Record
from lesionwise.errors import BundleError, DataError, ImageError

Float32s = NDArray[np.float32]
Image = str | Path | bytes | Pixels
BATCH: Final = 8  # larger ones are slower on a CPU, whose caches they overflow, and take more memory


@dataclass(frozen=True)
class Answers:
    """What a model says about some images.

    Attributes:
        description: Description of the bundle that answered.
        probabilities: Calibrated, shape (N, C).
        logits: Raw, shape (N, C).
        embedding: Shape (N, D); None if the model gives none.
        ood_score: How unlike a lesion image, shape (N,); None if the model gives none.
        cam: What each place adds to each logit, shape (N, C, h, w); None if the model gives none.
    """

    description: Description
    probabilities: Float32s
    logits: Float32s
    embedding: Float32s | None = None
    ood_score: Float32s | None = None
    cam: Float32s | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def decisions(self) -> Decisions:
        """What is said about each image: answer or not, the likeliest diagnosis, the set, the threshold."""
        return decide(self.description, self.probabilities, self.ood_score)


class Engine:
    """A model ready to answer; safe to use from several threads.

    Args:
        bundle: A checked bundle.
        runtime: "openvino" or "onnxruntime".
        threads: Cores to use; all if left out.
        streams: Calls of `run` that are computed at the same time, if as many threads make them; the cores
            are shared out among them.
        precision: What to compute in; as the bundle says if left out. A graph in int8 can be run in nothing
            else, and no other graph in int8.

    Attributes:
        bundle: As given.
        runtime: As given.
        streams: As given.
        precision: What it computes in.

    Raises:
        BundleError: If the runtime cannot build the graph, or the graph is not of that precision.
        MissingExtraError: If the runtime is not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: Runtime = "openvino",
        threads: int | None = None,
        streams: int = 1,
        precision: Precision | None = None,
    ) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.streams = streams
        self.precision = precision or self.description.precision
        _verify_precision(bundle, self.precision)
        try:
            self._run: Run = start(
                runtime,
                bundle.content,
                self.description.outputs,
                precision=self.precision,
                threads=threads,
                streams=streams,
            )
        except BundleError as error:
            raise BundleError(f"{bundle.path}: {error}.") from error

    @property
    def description(self) -> Description:
        """What the bundle says about itself."""
        return self.bundle.description

    def predict(
        self, images: Image | Iterable[Image], metadata: Record | Iterable[Record | None] | None = None
    ) -> Answers:
        """Return answers for images.

        Args:
            images: Paths, contents of files as bytes, or RGB arrays (H, W, 3) of uint8 that were decoded
                elsewhere; one, or any number. Arrays are scaled down, cut and resized by the same rule.
            metadata: What is known of each besides, such as `{"age": 45, "sex": "female"}`, for a model that
                takes it; what is left out is not known.

        Raises:
            ImageError: If one cannot be read; the message names it.
            DataError: If the model takes no such metadata, or there are not as many as images.
        """
        records = [metadata] if isinstance(metadata, Mapping) else metadata
        waiting = enumerate(_paired([images] if _is_one(images) else images, records))
        batches = []
        while batch := list(islice(waiting, BATCH)):
            pixels = np.stack([self.read(image, number) for number, (image, _) in batch])
            batches.append(self.run(pixels, self.encode([record for _, (_, record) in batch])))
        return self.answers(batches)

    def encode(self, records: Sequence[Record | None]) -> Float32s | None:
        """Return what is known of some images besides as the graph takes it, shape (N, M).

        Args:
            records: Value by name of the field; None if nothing is known.

        Returns:
            None if the model is one of images alone.

        Raises:
            DataError: If it takes no such metadata.
        """
        encoding = self.description.metadata
        if encoding is None:
            if any(records):
                raise DataError(f"{self.bundle.path}: is a model of images alone and takes no metadata.")
            return None
        try:
            for record in records:
                encoding.verify_names(record or ())
            return encoding.encode(records)
        except DataError as error:
            raise DataError(f"{self.bundle.path}: {error}.") from error

    def read(self, image: Image, number: int = 0) -> Pixels:
        """Return one image as the graph takes it, shape (H, W, 3).

        Args:
            number: Its place among others, for messages.

        Raises:
            ImageError: If it cannot be read; the message names it.
        """
        rule = self.description.input
        try:
            if isinstance(image, np.ndarray):
                return fit_image(image, rule.size, steps=rule.steps)
            return read_image(Path(image) if isinstance(image, str) else image, rule.size, steps=rule.steps)
        except ImageError as error:
            name = image if isinstance(image, str | Path) else f"image {number}"
            raise ImageError(f"{name}: {error}.") from error

    def run(self, pixels: Pixels, metadata: Float32s | None = None) -> Arrays:
        """Run one batch through the graph.

        Args:
            pixels: Images as `read` or the image cache of the same rule gives them, shape (N, H, W, 3).

        Returns:
            An array for each output that the description names.

        Raises:
            BundleError: If the graph breaks on them.
            ImageError: If they are not such pixels; OpenVINO would take them, and answer anything.
        """
        expected = (*self.description.input.size, 3)
        if pixels.shape[1:] != expected or pixels.dtype != np.uint8:
            raise ImageError(
                f"Expected pixels (N, {', '.join(map(str, expected))}) of uint8 but got {pixels.shape} of "
                f"{pixels.dtype}."
            )
        inputs: dict[str, NDArray[np.uint8] | Float32s] = {"image": np.ascontiguousarray(pixels)}
        if self.description.metadata is not None:
            unknown = np.zeros((len(pixels), self.description.metadata.length), np.float32)
            inputs["metadata"] = unknown if metadata is None else np.ascontiguousarray(metadata)
        try:
            return self._run(inputs)
        except BundleError as error:
            raise BundleError(f"{self.bundle.path}: {error}.") from error

    def answers(self, batches: Sequence[Arrays]) -> Answers:
        """Return the outputs of batches as one record.

        Raises:
            BundleError: If a probability or rejection score is no finite number.
        """
        empty = [self.run(np.zeros((1, *self.description.input.size, 3), np.uint8))] if not batches else []
        joined = {
            name: np.concatenate([batch[name] for batch in batches or empty])[: None if batches else 0]
            for name in self.description.outputs
        }
        for name in ("probabilities", "ood_score"):
            values = joined.get(name, np.zeros(1))
            if not np.isfinite(values).all():
                odd = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
                raise BundleError(
                    f"{self.bundle.path}: its {name} are no numbers for {odd} of {len(values)} images. "
                    "The model is damaged or has a wrong description of its pixels; do not use it."
                )
        return Answers(self.description, **joined)


def _paired(
    images: Iterable[Image], metadata: Iterable[Record | None] | None
) -> Iterator[tuple[Image, Record | None]]:
    """Yield each image with what is known of it."""
    if metadata is None:
        yield from zip(images, repeat(None), strict=False)
        return
    missing = object()
    for image, record in zip_longest(images, metadata, fillvalue=missing):
        if image is missing or record is missing:
            raise DataError("Expected metadata for each image but there are more of one than of the other.")
        yield cast("Image", image), cast("Record | None", record)


def _verify_precision(bundle: Bundle, wished: Precision) -> None:
    held = bundle.description.precision
    if held != wished and (held == "int8" or wished in {"int8", "fp16"}):
        raise BundleError(
            f"{bundle.path}: is made for {held} and cannot be run in {wished}: fewer bits stand in the file "
            f'itself. Make that one with "lesionwise bundle export RUN --precision {wished}".'
        )


def _is_one(images: Image | Iterable[Image]) -> TypeIs[Image]:
    """Return whether this is one image, and not several."""
    if isinstance(images, np.ndarray):
        return images.ndim == 3  # noqa: PLR2004 (H, W, 3; several have a fourth side)
    return isinstance(images, str | Path | bytes)


def load_model(
    path: str | Path | None = None,
    *,
    runtime: Runtime = "openvino",
    threads: int | None = None,
    streams: int = 1,
    precision: Precision | None = None,
) -> Engine:
    """Return a model that answers: `load_model("model.onnx").predict(["mole.jpg"]).probabilities`.

    The file is checked before any of it is run; no code from it is executed.

    Args:
        path: A bundle, as `lesionwise bundle export` writes it, or the name of one that ships. The default
            is `best`.
        runtime: "openvino", or "onnxruntime" where that extra is installed.
        threads: Cores to use; all if left out.
        streams: Batches that several threads may have computed at the same time.
        precision: "fp32" or "bf16"; what the bundle says if left out, and always for one in int8.

    Raises:
        BundleError: If the file is no bundle, damaged, or cannot be run, or not so.
        MissingExtraError: If the runtime is not installed.
    """
    bundle = read_bundle(path)
    return Engine(bundle, runtime=runtime, threads=threads, streams=streams, precision=precision)
