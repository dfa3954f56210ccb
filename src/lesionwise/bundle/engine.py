"""The engine: images in, answers out, through the bundle's graph.

Here: reading images by the bundle's rule, and running them in batches. Not here: what counts as an image
(`inputs`), the record of answers (`answers`), the checks of the file (`load`) and the runtimes (`runtimes`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, repeat, zip_longest
from pathlib import Path
from typing import Final, cast

import numpy as np

from lesionwise.bundle.answers import Answers, Float32s, Source
from lesionwise.bundle.description import Description
from lesionwise.bundle.inputs import Image, NamedImage, Read, named_images
from lesionwise.bundle.load import Bundle, read_bundle
from lesionwise.bundle.precision import Wished, choose_precision
from lesionwise.bundle.runtimes import Arrays, Pixels, Run, Runtime, start
from lesionwise.data.images import fit_image, read_image
from lesionwise.data.metadata import Record
from lesionwise.errors import BundleError, DataError, ImageError
from lesionwise.wording import counted

BATCH: Final = 8  # larger ones are slower on a CPU, whose caches they overflow, and take more memory
_KEPT: Final = 64  # images without a file whose pixels are kept to be shown: 200 KB each


_Pair = tuple[NamedImage, Record | None]


class Engine:
    """A model ready to answer; safe to use from several threads.

    Args:
        bundle: A checked bundle.
        threads: Cores to use; all if left out.
        streams: Calls of `run` that are computed at the same time, if as many threads make them; the cores
            are shared out among them.
        precision: What to compute in; the bundle's own if left out. "auto" is the fastest that, by the
            bundle's own measurement, changes hardly an answer, and that the processor has instructions for.

    Attributes:
        precision: What it computes in.

    Raises:
        BundleError: If the runtime cannot build the graph, or the bundle does not offer that precision.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        runtime: Runtime = "openvino",
        threads: int | None = None,
        streams: int = 1,
        precision: Wished | None = None,
    ) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.streams = streams
        try:
            self.precision = choose_precision(self.description, precision, runtime)
            self._run: Run = start(
                runtime,
                bundle.content,
                self.description.outputs,
                precision=self.precision,
                threads=threads,
                streams=streams,
                ranges=self.description.int8_ranges,
            )
        except BundleError as error:
            raise BundleError(f"{bundle.path}: {error}.") from error

    @property
    def description(self) -> Description:
        """What the bundle says about itself."""
        return self.bundle.description

    def __repr__(self) -> str:
        rule, encoding = self.description.input, self.description.metadata
        takes = f"; takes {', '.join(encoding.names)}" if encoding else ""
        return (
            f"<Engine {self.description.name}: images of {rule.height}x{rule.width} px{takes}; "
            f"{self.precision} on {self.runtime}; {self.bundle.path}>"
        )

    def predict(
        self,
        images: Image | Iterable[Image],
        metadata: Record | Iterable[Record | None] | None = None,
        *,
        skip_unreadable: bool = False,
    ) -> Answers:
        """Return answers for images.

        Args:
            images: One image or any number of them, of any of these kinds: paths; folders, patterns, zips and
                CSVs of paths, which stand for all their images; bytes and files opened as bytes; Pillow
                images; RGB arrays (H, W, 3) of uint8, or of floats from 0 to 1; tensors of the same, which
                may have their channels first.
            metadata: What is known besides, such as `{"age": 45, "sex": "female"}`, for a model that takes
                it: one record for all images, or one for each. What is left out is not known.
            skip_unreadable: Leave out images that cannot be read and list them in `Answers.left_out`.

        Raises:
            ImageError: If one cannot be read; the message names it.
            DataError: If a place holds no image, the model takes no such metadata, or there are not as many
                records as images.
        """
        named = named_images(images)
        if metadata is None or isinstance(metadata, Mapping):
            waiting: Iterator[_Pair] = zip(named, repeat(metadata))
        else:
            waiting = _paired(named, metadata)
        read: list[NamedImage] = []
        sources: list[Source | None] = []
        batches, left_out = [], {}
        while batch := list(islice(waiting, BATCH)):
            pixels, known = [], []
            for image, record in batch:
                try:
                    pixels.append(self._fit(image))
                except ImageError as error:
                    if not skip_unreadable:
                        raise
                    left_out[image.name] = str(error).removeprefix(f"{image.name}: ")
                    continue
                known.append(record)
                read.append(image)
                sources.append(_kept(image.source, pixels[-1], len(sources)))
            if pixels:
                batches.append(self.run(np.stack(pixels), self.encode(known)))
        return replace(
            self.answers(batches),
            names=tuple(image.name for image in read),
            image_ids=tuple(image.image_id for image in read),
            sources=tuple(sources),
            left_out=left_out,
        )

    def encode(self, records: Sequence[Record | None]) -> Float32s | None:
        """Return what is known of some images besides as the graph takes it, shape (N, M).

        Args:
            records: Value by name of the field; None if nothing is known.

        Returns:
            None if the model is one of images alone.
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
        [named] = named_images(image, number)
        return self._fit(named)

    def _fit(self, image: NamedImage) -> Pixels:
        rule, source = self.description.input, image.source
        try:
            if isinstance(source, np.ndarray):
                return fit_image(source, rule.size, steps=rule.steps)
            content = source if isinstance(source, Path | bytes) else source()
            return read_image(content, rule.size, steps=rule.steps)
        except ImageError as error:
            raise ImageError(f"{image.name}: {error}.") from error

    def run(self, pixels: Pixels, metadata: Float32s | None = None) -> Arrays:
        """Run one batch through the graph.

        Args:
            pixels: Images as `read` or the image cache of the same rule gives them, shape (N, H, W, 3).

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
        inputs: dict[str, Pixels | Float32s] = {"image": np.ascontiguousarray(pixels)}
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
                    f"{self.bundle.path}: its {name} are no numbers for {odd} of "
                    f"{counted(len(values), 'image')}. The model is damaged or has a wrong description of "
                    "its pixels; do not use it."
                )
        return Answers(
            self.description,
            probabilities=joined["probabilities"],
            logits=joined["logits"],
            embedding=joined.get("embedding"),
            ood_score=joined.get("ood_score"),
            cam=joined.get("cam"),
            sha256=self.bundle.sha256,
        )


def _kept(source: Read, pixels: Pixels, number: int) -> Source | None:
    """Return from where an image can be shown again: its file, or else its pixels while these are few."""
    if isinstance(source, Path) or callable(source):
        return source
    return pixels if number < _KEPT else None


def _paired(images: Iterable[NamedImage], metadata: Iterable[Record | None]) -> Iterator[_Pair]:
    """Yield each image with what is known of it."""
    missing = object()
    for image, record in zip_longest(images, metadata, fillvalue=missing):
        if image is missing or record is missing:
            raise DataError("Expected metadata for each image but there are more of one than of the other.")
        yield cast("NamedImage", image), cast("Record | None", record)


def load_model(
    path: str | Path | None = None,
    *,
    runtime: Runtime = "openvino",
    threads: int | None = None,
    streams: int = 1,
    precision: Wished | None = None,
) -> Engine:
    """Return a model that answers: `load_model("model.onnx").predict(["mole.jpg"]).probabilities`.

    The file is checked before any of it is run; no code from it is executed.

    Args:
        path: A bundle, as `lesionwise bundle export` writes it, or the name of one that ships. The default
            is `best`. `hub:owner/name`, or better `hub:owner/name@revision`, fetches one from a model hub.
        runtime: "openvino", or "onnxruntime" where that extra is installed.
        threads: Cores to use; all if left out.
        streams: Batches that several threads may have computed at the same time.
        precision: "fp32", "bf16" or "int8", or "auto" for the fastest that changes hardly an answer; the
            bundle's own, which is fp32 for the models that ship, if left out.

    Raises:
        BundleError: If the file is no bundle, damaged, or cannot be run, or not so.
        MissingExtraError: If the runtime is not installed.
    """
    bundle = read_bundle(path)
    return Engine(bundle, runtime=runtime, threads=threads, streams=streams, precision=precision)
