"""Counts and times for the operator, in the text format of Prometheus; nothing about any image.

References:
    https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one service.

    requests: Requests by method, the service's own name of the path, and status.
    seconds: Seconds of a request, by path.
    stages: Seconds of decoding, of waiting and computing in the network, of drawing heatmaps.
    decisions: Images by decision.
    refusals: Problems by code, also those below HTTP, and connections that were ended.
    restarts: Decoders that were replaced.
    batches: Images of a batch.
    waiting: Images in the service.
    model: Model and versions that wrote and run it; always 1.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        count = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        measure = partial(Histogram, registry=self._registry)
        self.requests = count("lesionwise_requests", "Requests answered.", ["method", "path", "status"])
        self.seconds = measure("lesionwise_request_seconds", "Time of a request.", ["path"], buckets=_SECONDS)
        self.stages = measure("lesionwise_stage_seconds", "Time of a stage.", ["stage"], buckets=_SECONDS)
        self.decisions = count("lesionwise_images", "Images answered.", ["decision"])
        self.refusals = count("lesionwise_refusals", "Requests or images refused.", ["problem"])
        self.restarts = count("lesionwise_decoder_restarts", "Decoders replaced.")
        self.batches = measure("lesionwise_batch_images", "Images of a batch.", buckets=(1, 2, 4, 8, 16, 32))
        self.waiting = gauge("lesionwise_waiting_images", "Images in the service.")
        names = ["name", "sha256", "version", "service"]
        self.model = gauge("lesionwise_model_info", "The model that answers.", names)
        ProcessCollector(namespace="lesionwise", registry=self._registry)

    def text(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
