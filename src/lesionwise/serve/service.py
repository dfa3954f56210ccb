"""From the content of files to answers: admission, decoding, the network, heatmaps.

Here: the one path that the API and the page share. Not here: HTTP (`app`), and answers in words (`page`).
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.description import Description
from lesionwise.bundle.engine import Answers
from lesionwise.bundle.load import Bundle, verify_servable
from lesionwise.data.workspace import usable_cores
from lesionwise.labels import CODES, INDEX
from lesionwise.serve.batching import Arrays, Batcher
from lesionwise.serve.decoding import Decoders, Picture
from lesionwise.serve.heatmap import View, data_uri, draw_heatmap, locate_view
from lesionwise.serve.limits import Limits
from lesionwise.serve.metrics import Metrics
from lesionwise.serve.problems import Problem
from lesionwise.serve.uploads import verify_kind

MAX_DECODERS: Final = 4
_DIGITS: Final = 6


class Engine(Protocol):
    """What the service needs of `lesionwise.bundle.engine.Engine`."""

    @property
    def bundle(self) -> Bundle:
        """The checked file."""

    @property
    def description(self) -> Description:
        """What the bundle says about itself."""

    def run(self, pixels: NDArray[np.uint8]) -> Arrays:
        """Run one batch."""

    def answers(self, batches: Sequence[Arrays]) -> Answers:
        """Return the outputs of batches as one record."""


@dataclass(frozen=True)
class Answer:
    """What is said about one image.

    Attributes:
        result: As the API gives it (`schema.Result`).
        picture: What was decoded.
        view: Where the network looked, if that is known.
    """

    result: dict[str, Any]
    picture: Picture
    view: View | None


class Service:
    """A model that answers many at once.

    Args:
        engine: The model.
        limits: What a request may cost.
        decoders: Processes that decode; one for each core, up to four, if left out.

    Attributes:
        engine: As given.
        limits: As given.
        metrics: Counts and times.
        waiting: Images in the service now.

    Raises:
        BundleError: If the model was made with a split that leaks.
    """

    def __init__(self, engine: Engine, *, limits: Limits | None = None, decoders: int | None = None) -> None:
        verify_servable(engine.bundle)
        self.engine = engine
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.metrics.model.labels(**self.model_brief()).set(1)
        self.waiting = 0
        self._decoding = 0
        count = decoders or min(MAX_DECODERS, usable_cores())
        self._decoders = Decoders(engine.description.input, self.limits, count)
        self._batcher = Batcher(
            engine.run,
            size=self.limits.batch,
            wait_s=self.limits.batch_wait_s,
            coming=lambda: self._decoding,
            on_batch=self.metrics.batches.observe,
        )

    def model_brief(self) -> dict[str, str]:
        """Return name, hash and version of the model."""
        description, bundle = self.engine.description, self.engine.bundle
        return {"name": description.name, "sha256": bundle.sha256, "version": description.package_version}

    async def start(self) -> None:
        """Start decoders and network; the first batch is run, so that no user waits for it."""
        self._batcher.start()
        empty = np.zeros((*self.engine.description.input.size, 3), np.uint8)
        await asyncio.gather(self._decoders.start(), self._batcher.predict(empty))

    async def stop(self) -> None:
        """Stop both."""
        await self._batcher.stop()
        await self._decoders.stop()

    async def answer(
        self, contents: Sequence[bytes], *, preview: bool = False, heatmap: bool = True
    ) -> list[Answer]:
        """Return an answer for each image.

        Args:
            contents: Of the files.
            preview: Whether a picture for people is wanted, too.
            heatmap: Whether to draw heatmaps.

        Raises:
            Problem: If one of them cannot be answered; it names the image.
        """
        found = await self.answer_each(contents, preview=preview, heatmap=heatmap)
        for one in found:
            if isinstance(one, Problem):
                raise one
        return [one for one in found if isinstance(one, Answer)]

    async def answer_each(
        self, contents: Sequence[bytes], *, preview: bool = False, heatmap: bool = True
    ) -> list[Answer | Problem]:
        """Return an answer or a refusal for each image.

        Args:
            contents: Of the files.
            preview: Whether a picture for people is wanted, too.
            heatmap: Whether to draw heatmaps.

        Raises:
            Problem: If there is no room for so many.
        """
        started = perf_counter()
        with self._admit(len(contents)):
            tasks = [
                self._answer(content, image, started, preview=preview, heatmap=heatmap)
                for image, content in enumerate(contents)
            ]
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, Problem):
                raise one
        return [one for one in found if isinstance(one, Answer | Problem)]

    async def draw_preview(self, content: bytes) -> bytes:
        """Return a small JPEG of an image, upright and without metadata.

        Args:
            content: Of the file.

        Raises:
            Problem: If it cannot be decoded.
        """
        with self._admit(1):
            return (await self._decode(content, preview=True)).preview

    @contextmanager
    def _admit(self, count: int) -> Iterator[None]:
        if self.waiting + count > max(self.limits.waiting, count if self.waiting == 0 else 0):
            raise Problem("busy", f"{self.waiting} images are being answered.")
        self.waiting += count
        self.metrics.waiting.set(self.waiting)
        try:
            yield
        finally:
            self.waiting -= count
            self.metrics.waiting.set(self.waiting)

    async def _answer(
        self, content: bytes, image: int, started: float, *, preview: bool, heatmap: bool
    ) -> Answer:
        try:
            picture = await self._decode(content, preview=preview)
        except Problem as problem:
            self.metrics.refusals.labels(problem.code).inc()
            raise problem.at(image) from problem
        with self.metrics.stages.labels("network").time():
            arrays = await self._batcher.predict(picture.pixels)
        answers = self.engine.answers([arrays])
        view = locate_view(self.engine.description, picture.width, picture.height)
        with self.metrics.stages.labels("heatmap").time():
            drawn = self._draw(answers, picture, view) if heatmap else None
        result = self._result(answers, image)
        self.metrics.decisions.labels(result["decision"]).inc()
        result["heatmap"] = drawn
        result["view"] = None if view is None else {name: round(part, 4) for name, part in vars(view).items()}
        result["elapsed_ms"] = round(1000 * (perf_counter() - started), 1)
        return Answer(result, picture, view)

    async def _decode(self, content: bytes, *, preview: bool) -> Picture:
        verify_kind(content)
        self._decoding += 1
        try:
            with self.metrics.stages.labels("decode").time():
                return await self._decoders.decode(content, preview=preview)
        finally:
            self._decoding -= 1

    def _draw(self, answers: Answers, picture: Picture, view: View | None) -> str | None:
        if answers.cam is None or view is None:
            return None
        cam = answers.cam[0, INDEX[str(answers.decisions.top[0])]]
        return data_uri(draw_heatmap(cam, view, picture.width, picture.height), "image/png")

    def _result(self, answers: Answers, image: int) -> dict[str, Any]:
        decisions, calibration = answers.decisions, self.engine.description.calibration
        probabilities = dict(zip(CODES, answers.probabilities[0].tolist(), strict=True))
        held, above = decisions.prediction_codes(0), decisions.above_melanoma_threshold
        return {
            "image": image,
            "decision": str(decisions.decision[0]),
            "top": str(decisions.top[0]),
            "probabilities": {code: round(value, _DIGITS) for code, value in probabilities.items()},
            "malignant_probability": round(float(decisions.malignant_probability[0]), _DIGITS),
            "prediction_set": held and sorted(held, key=lambda code: -probabilities[code]),
            "coverage": calibration and calibration.prediction_sets.coverage,
            "ood_score": None if answers.ood_score is None else round(float(answers.ood_score[0]), _DIGITS),
            "above_melanoma_threshold": None if above is None else bool(above[0]),
        }
