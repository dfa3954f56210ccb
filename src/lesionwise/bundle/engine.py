"""The engine: images in, answers out, through the bundle's graph.

Here: reading images by the bundle's rule, and running them in batches. Not here: what counts as an image
(`inputs`), the record of answers (`answers`), the checks of the file (`load`) and the runtimes (`runtimes`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.answers import Answers, Source
from lesionwise.bundle.description import Description
from lesionwise.bundle.inputs import Image, NamedImage, Read, named_images
from lesionwise.bundle.load import Bundle, read_bundle
from lesionwise.bundle.precision import Wished, choose_precision, close_calls_again, margin_of
from lesionwise.bundle.runtimes import Arrays, Run, Runtime, start
from lesionwise.bundle.second_look import look_twice
from lesionwise.data.images import fit_image, read_image
from lesionwise.data.metadata import Record
from lesionwise.errors import BundleError, DataError, ImageError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.data.dataset import Dataset

BATCH: Final = 8  # larger ones are slower on a CPU, whose caches they overflow, and take more memory
_KEPT: Final = 64  # images without a file whose pixels are kept for display: 200 KB each
_Pair = tuple[NamedImage, Record | None]


class Engine:
    """A model that is ready to answer; safe to use from several threads.

    Args:
        bundle: A checked bundle.
        threads: Number of cores to use; all if left out.
        streams: Number of calls of `run` that are computed at the same time, if as many threads make them.
            They share the cores.
        precision: Number format; the bundle's own if left out. "auto" is the fastest that changes hardly an
            answer, as the bundle measured it, and for which the processor has instructions.

    Attributes:
        precision: The chosen number format.
        margin: Distance in log-odds to another answer up to which an image is computed again in fp32;
            None if no image is.

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
            self.margin = margin_of(self.description, self.precision)
            begin = partial(
                start,
                runtime,
                bundle.content,
                self.description.outputs,
                threads=threads,
                streams=streams,
                ranges=self.description.int8_ranges,
            )
            looks = [begin(precision=self.precision)]
            if self.margin is not None:
                looks.append(begin(precision="fp32"))
            self._look = self._exact_where_close(looks)
            self._run = self._exact_where_close([self._looking_twice(look) for look in looks])
        except BundleError as error:
            raise BundleError(f"{bundle.path}: {error}.") from error

    def _looking_twice(self, look: Run) -> Run:
        calibration = self.description.calibration
        scaled = calibration.probabilities if calibration else softmax
        return look_twice(look, self.description.second_look, scaled)

    def _exact_where_close(self, runs: Sequence[Run]) -> Run:
        """Return the first of the runs, after which the second computes close calls again if there is one."""
        if self.margin is None:
            return runs[0]
        quick, exact = runs
        return close_calls_again(quick, exact, self.description, self.margin)

    @property
    def description(self) -> Description:
        """The bundle's description of itself."""
        return self.bundle.description

    @property
    def computed_in(self) -> str:
        """The number formats in words."""
        return self.precision if self.margin is None else f"{self.precision}, and close calls in fp32"

    def __repr__(self) -> str:
        rule, encoding = self.description.input, self.description.metadata
        takes = f"; takes {', '.join(encoding.names)}" if encoding else ""
        return (
            f"<Engine {self.description.name}: images of {rule.height}x{rule.width} px{takes}; "
            f"{self.computed_in} on {self.runtime}; {self.bundle.path}>"
        )

    def predict(
        self,
        images: Image | Iterable[Image],
        metadata: Record | Iterable[Record | None] | None = None,
        *,
        skip_unreadable: bool = False,
    ) -> Answers:
        """Return the answers to images.

        Args:
            images: One image or any number of them, of any of these kinds: paths; folders, patterns, zips and
                CSVs of paths, which stand for all their images; bytes and files opened as bytes; Pillow
                images; RGB arrays (H, W, 3) of uint8, or of floats from 0 to 1; tensors of the same, which
                may have their channels first.
            metadata: Age, sex and site, such as `{"age": 45, "sex": "female"}`, for a model that takes them:
                one record for all images, or one for each. Leave out unknown values.
            skip_unreadable: Leave out images that cannot be read and list them in `Answers.left_out`.

        Raises:
            ImageError: If one cannot be read; the message names it.
            DataError: If a place holds no image, the model takes no such metadata, or the numbers of records
                and images differ.
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
        """Return the metadata of some images as the graph takes them, shape (N, M).

        Args:
            records: Value by name of the field; None if nothing is known.

        Returns:
            None if the model takes only images.
        """
        encoding = self.description.metadata
        if encoding is None:
            if any(records):
                raise DataError(f"{self.bundle.path}: takes only images and no metadata.")
            return None
        try:
            for record in records:
                encoding.verify_names(record or ())
            return encoding.encode(records)
        except DataError as error:
            raise DataError(f"{self.bundle.path}: {error}.") from error

    def known(self, dataset: "Dataset", rows: Sequence[int] | NDArray[np.int64]) -> list[Record] | None:
        """Return the metadata that a data set has for some of its images; None if the model takes none."""
        encoding = self.description.metadata
        return encoding.known(dataset.records(rows, encoding.names)) if encoding else None

    def read(self, image: Image) -> Pixels:
        """Return one image as the graph takes it, shape (H, W, 3).

        Raises:
            ImageError: If it cannot be read; the message names it.
        """
        [named] = named_images(image)
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
        """Run one batch through the graph, with a second look at near ties if the bundle has it.

        Args:
            pixels: Images as `read` or the image cache of the same rule gives them, shape (N, H, W, 3).

        Raises:
            BundleError: If the graph cannot be run on them.
            ImageError: If they are not such pixels; OpenVINO would accept them and give arbitrary answers.
        """
        return self._compute(self._run, pixels, metadata)

    def look(self, pixels: Pixels, metadata: Float32s | None = None) -> Arrays:
        """Run one batch through the graph as `run` does, but look once at every image."""
        return self._compute(self._look, pixels, metadata)

    def _compute(self, run: Run, pixels: Pixels, metadata: Float32s | None) -> Arrays:
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
            return run(inputs)
        except BundleError as error:
            raise BundleError(f"{self.bundle.path}: {error}.") from error

    def answers(self, batches: Sequence[Arrays]) -> Answers:
        """Return the outputs of batches as one record.

        Raises:
            BundleError: If a probability or rejection score is not finite.
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
                    f"{self.bundle.path}: its output {name} is not a number for {odd} of "
                    f"{counted(len(values), 'image')}. The model is damaged, or its description states the "
                    "wrong pixels. Do not use it."
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
    """Return the source from which an image can be shown again: its file, or its pixels if there are few."""
    if isinstance(source, Path) or callable(source):
        return source
    return pixels if number < _KEPT else None


def _paired(images: Iterable[NamedImage], metadata: Iterable[Record | None]) -> Iterator[_Pair]:
    """Yield each image with its metadata."""
    missing = object()
    for image, record in zip_longest(images, metadata, fillvalue=missing):
        if image is missing or record is missing:
            raise DataError("Expected one metadata record for each image but their numbers differ.")
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

    The file is checked before it is run, and no code in it is executed.

    Args:
        path: A bundle of `lesionwise bundle export`, or the name of an included one; `best` if left out.
            `hub:owner/name`, or better `hub:owner/name@revision`, fetches one from a model hub.
        runtime: "openvino", or "onnxruntime" if that extra is installed.
        threads: Number of cores to use; all if left out.
        streams: Number of batches that several threads may compute at the same time.
        precision: "fp32", "bf16" or "int8", or "auto" for the fastest that changes hardly an answer. If left
            out, the bundle's own, which is fp32 for the included models.

    Raises:
        BundleError: If the file is not a bundle, is damaged, or cannot be run, or not in this precision.
        MissingExtraError: If the runtime is not installed.
    """
    bundle = read_bundle(path)
    return Engine(bundle, runtime=runtime, threads=threads, streams=streams, precision=precision)
