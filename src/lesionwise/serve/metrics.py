"""Counts and times for the operator, in the text format of Prometheus; nothing about any image.

References:
    https://prometheus.io/docs/instrumenting/exposition_formats/
"""

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
        here = CollectorRegistry()
        self._registry = here
        self.requests = Counter(
            "lesionwise_requests", "Requests answered.", ["method", "path", "status"], registry=here
        )
        self.seconds = Histogram(
            "lesionwise_request_seconds", "Time of a request.", ["path"], registry=here, buckets=_SECONDS
        )
        self.stages = Histogram(
            "lesionwise_stage_seconds", "Time of a stage.", ["stage"], registry=here, buckets=_SECONDS
        )
        self.decisions = Counter("lesionwise_images", "Images answered.", ["decision"], registry=here)
        self.refusals = Counter(
            "lesionwise_refusals", "Requests or images refused.", ["problem"], registry=here
        )
        self.restarts = Counter("lesionwise_decoder_restarts", "Decoders replaced.", registry=here)
        self.batches = Histogram(
            "lesionwise_batch_images", "Images of a batch.", registry=here, buckets=(1, 2, 4, 8, 16, 32)
        )
        self.waiting = Gauge("lesionwise_waiting_images", "Images in the service.", registry=here)
        self.model = Gauge(
            "lesionwise_model_info",
            "The model that answers.",
            ["name", "sha256", "version", "service"],
            registry=here,
        )
        ProcessCollector(namespace="lesionwise", registry=here)

    def text(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
