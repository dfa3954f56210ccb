"""From the content of files to answers: admission, decoding, network, heatmaps."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np

from lesionwise import __version__
from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import verify_servable
from lesionwise.data.metadata import is_unknown
from lesionwise.encoding import data_uri
from lesionwise.execution import usable_cores
from lesionwise.gallery.gallery import Gallery, Similar
from lesionwise.serve.batching import Batcher
from lesionwise.serve.decoding import DecodedImage, Decoders
from lesionwise.serve.heatmap import draw_heatmap, locate_view
from lesionwise.serve.limits import Limits
from lesionwise.serve.metrics import Metrics
from lesionwise.serve.problems import Problem
from lesionwise.serve.schema import ViewBox
from lesionwise.serve.similar import similar_results
from lesionwise.serve.uploads import verify_kind
from lesionwise.wording import counted

MAX_DECODERS: Final = 4
MAX_STREAMS: Final = 4


def streams_for(threads: int | None) -> int:
    """Return how many batches the network of a service computes at the same time."""
    return min(MAX_STREAMS, threads or usable_cores())


class NetworkInput(NamedTuple):
    """The input of the network for one image.

    Attributes:
        pixels: Shape (H, W, 3).
        metadata: Encoded metadata, shape (M,); None for a model that takes only images.
    """

    pixels: Pixels
    metadata: Float32s | None


class Answered(NamedTuple):
    """The results for the images of a batch.

    Attributes:
        similar: Similar lesions of each; None without a gallery.
    """

    answers: Answers
    similar: list[list[Similar]] | None


@dataclass(frozen=True)
class Answer:
    """The answer to one image.

    Attributes:
        result: As the API returns it (`schema.Result`).
        view: Where the network looked, if known.
        metadata: Values given with the image, by field.
    """

    result: dict[str, Any]
    picture: DecodedImage
    view: ViewBox | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Service:
    """A model that answers many clients at the same time.

    Args:
        alone: The same model with all cores for one batch, used while no other batch is computed; `engine` if
            left out.
        gallery: Where similar lesions are looked for; nowhere if left out.
        decoders: Number of decoding processes; one for each core, up to four, if left out.

    Attributes:
        waiting: Number of images in the service.
        closing: Whether it is about to end; requests are still answered.

    Raises:
        BundleError: If the model was made with a split that leaks.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        alone: Engine | None = None,
        gallery: Gallery | None = None,
        limits: Limits | None = None,
        decoders: int | None = None,
    ) -> None:
        verify_servable(engine.bundle)
        self.engine = engine
        self._alone = alone or engine
        self.gallery = gallery
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.metrics.model.labels(**self.model_brief(), service=__version__).set(1)
        self.waiting = 0
        self.closing = False
        self._started = False
        self._decoding = 0
        count = decoders or min(MAX_DECODERS, usable_cores())
        self.decoders = Decoders(
            engine.description.input, self.limits, count, on_restart=self.metrics.restarts.inc
        )
        self._batcher = Batcher(
            partial(self._run, engine),
            run_alone=partial(self._run, self._alone),
            workers=engine.streams,
            size=self.limits.batch,
            wait_s=self.limits.batch_wait_s,
            coming=lambda: self._decoding,
            on_batch=self.metrics.batches.observe,
        )

    def model_brief(self) -> dict[str, str]:
        """Return name, hash and version of the model."""
        description, bundle = self.engine.description, self.engine.bundle
        return {"name": description.name, "sha256": bundle.sha256, "version": description.package_version}

    @property
    def metadata_fields(self) -> tuple[str, ...]:
        """Names of the metadata fields of the model."""
        encoding = self.engine.description.metadata
        return () if encoding is None else encoding.names

    async def start(self) -> None:
        """Start decoders and network; a first batch is run, so that no user waits for it."""
        self._batcher.start()
        empty = np.zeros((*self.engine.description.input.size, 3), np.uint8)
        first = NetworkInput(empty, self._encode({}))
        shared = [self.engine] if self._alone is not self.engine else []
        await asyncio.gather(
            self.decoders.start(),
            self._batcher.predict(first),
            *(asyncio.to_thread(self._run, engine, [first]) for engine in shared),
        )
        self._started = True

    async def verify_ready(self) -> None:
        """Make sure that the service would answer an image now."""
        if self.closing:
            raise Problem("not-ready", "It is closing.")
        if not self._started:
            raise Problem("not-ready", "The model is being loaded.")
        if self.waiting >= self.limits.waiting:
            raise Problem("not-ready", f"{counted(self.waiting, 'image is', 'images are')} being answered.")
        if not await self.decoders.answers():
            raise Problem("not-ready", "No decoder answers.")

    async def stop(self) -> None:
        """Stop decoders and network."""
        await self._batcher.stop()
        await self.decoders.stop()

    async def answer(
        self, contents: Sequence[bytes], *, metadata: Mapping[str, str] | None = None, heatmap: bool = True
    ) -> list[Answer]:
        """Return an answer for each image.

        Raises:
            Problem: If one of them cannot be answered; it names the image.
        """
        found = await self.answer_each(contents, metadata=metadata, heatmap=heatmap)
        for one in found:
            if isinstance(one, Problem):
                raise one
        return [one for one in found if isinstance(one, Answer)]

    async def answer_each(
        self,
        contents: Sequence[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        preview: bool = False,
        heatmap: bool = True,
    ) -> list[Answer | Problem]:
        """Return an answer or a refusal for each image.

        Args:
            metadata: Values for all of the images, by field of the model's metadata.

        Raises:
            Problem: If there is no room for so many, or the metadata cannot be used.
        """
        started = perf_counter()
        known = {name: value.strip() for name, value in (metadata or {}).items() if not is_unknown(value)}
        encoded = self._encode(known)
        with self._admit(len(contents)):
            tasks = [
                self._answer(content, image, encoded, started, preview=preview, heatmap=heatmap)
                for image, content in enumerate(contents)
            ]
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, Problem):
                raise one
        return [
            replace(one, metadata=known) if isinstance(one, Answer) else one
            for one in found
            if isinstance(one, Answer | Problem)
        ]

    async def answer_pixels(
        self, pixels: Pixels, *, metadata: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the result for each image that was decoded elsewhere, without a heatmap."""
        encoded = self._encode(metadata or {})
        with self._admit(len(pixels)):
            found = await asyncio.gather(
                *(self._batcher.predict(NetworkInput(one, encoded)) for one in pixels)
            )
        return [self._result(answered.answers, row) for answered, row in found]

    async def draw_preview(self, content: bytes) -> bytes:
        """Return a small JPEG of an image, upright and without metadata."""
        with self._admit(1):
            return (await self._decode(content, preview=True)).preview

    @contextmanager
    def _admit(self, count: int) -> Iterator[None]:
        if self.waiting and self.waiting + count > self.limits.waiting:
            raise Problem("busy", f"{counted(self.waiting, 'image is', 'images are')} being answered.")
        self.waiting += count
        self.metrics.waiting.set(self.waiting)
        try:
            yield
        finally:
            self.waiting -= count
            self.metrics.waiting.set(self.waiting)

    async def _answer(
        self,
        content: bytes,
        image: int,
        metadata: Float32s | None,
        started: float,
        *,
        preview: bool,
        heatmap: bool,
    ) -> Answer:
        try:
            picture = await self._decode(content, preview=preview)
        except Problem as problem:
            raise problem.at(image) from problem
        with self.metrics.stages.labels("network").time():
            answered, row = await self._batcher.predict(NetworkInput(picture.pixels, metadata))
        view = locate_view(self.engine.description, picture.width, picture.height)
        with self.metrics.stages.labels("heatmap").time():
            drawn = self._draw(answered.answers, row, picture, view) if heatmap else None
        result = {"image": image, **self._result(answered.answers, row)}
        result["heatmap"] = drawn
        shown = answered.similar is not None and result["decision"] != "not_a_lesion_image"
        result["similar"] = similar_results(answered.similar[row]) if shown and answered.similar else None
        result["pictures"] = picture.pictures
        result["view"] = None if view is None else {name: round(part, 4) for name, part in view}
        result["elapsed_ms"] = round(1000 * (perf_counter() - started), 1)
        return Answer(result, picture, view)

    def _encode(self, metadata: Mapping[str, str]) -> Float32s | None:
        """Return the encoded metadata for the network, shape (M,); None if it takes none."""
        encoding = self.engine.description.metadata
        if encoding is None:
            return None
        for own in encoding.fields:
            value = metadata.get(own.name)
            if not is_unknown(value) and own.encode(value) is None:
                raise Problem("bad-metadata", f"Expected {own.name} to be {own.expected}.")
        return np.asarray(encoding.encode([metadata])[0])

    async def _decode(self, content: bytes, *, preview: bool) -> DecodedImage:
        verify_kind(content)
        self._decoding += 1
        try:
            with self.metrics.stages.labels("decode").time():
                return await self.decoders.decode(content, preview=preview)
        finally:
            self._decoding -= 1

    def _run(self, engine: Engine, batch: Sequence[NetworkInput]) -> Answered:
        """Return the results for a batch, decisions included; called in its own thread."""
        pixels = np.stack([item.pixels for item in batch])
        known = [item.metadata for item in batch if item.metadata is not None]
        outputs = engine.run(pixels, np.stack(known)) if known else engine.run(pixels)
        answers = engine.answers([outputs])
        _ = answers.decisions
        return Answered(answers, self.gallery.similar(answers) if self.gallery is not None else None)

    def _draw(self, answers: Answers, row: int, picture: DecodedImage, view: ViewBox | None) -> str | None:
        cam = answers[row].heatmap
        if cam is None or view is None:
            return None
        return data_uri(draw_heatmap(cam, view, picture.width, picture.height), "image/png")

    def _result(self, answers: Answers, row: int) -> dict[str, Any]:
        """Return the API's answer to one image, and count it."""
        answer = answers[row]
        self.metrics.decisions.labels(answer.decision).inc()
        return answer.to_json()
