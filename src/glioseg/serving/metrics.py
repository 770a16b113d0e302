"""The service's metrics for Prometheus. Clients cannot choose any label."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from glioseg.serving.model_reloader import ModelReloader
from glioseg.serving.request_queue import RequestQueue

SECONDS_BUCKETS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class _CurrentState(Collector):
    """Metrics that are read from the service when Prometheus collects them."""

    reloader: ModelReloader
    queue: RequestQueue

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        now = self.reloader.current
        yield InfoMetricFamily(
            "glioseg_model", "The model version in use.", {"model": now.model, "version": now.version}
        )
        stale = self.reloader.problem is not None
        yield GaugeMetricFamily(
            "glioseg_model_stale", "1 if a newer version could not be loaded.", value=stale
        )
        yield GaugeMetricFamily("glioseg_queue_length", "Requests in the queue.", value=len(self.queue))


class ServiceMetrics:
    """Counts and times since the start of the service."""

    def __init__(self, reloader: ModelReloader, queue: RequestQueue) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_CurrentState(reloader, queue))
        self._requests = Counter(
            "glioseg_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "glioseg_segment_seconds",
            "Seconds from the arrival of a case to its response.",
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "glioseg_contract_refusals", "Rejected cases, by rule.", ["rule"], registry=self._registry
        )

    def count_request(self, *, route: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(route, status).inc()

    def observe_segmentation(self, seconds: float) -> None:
        """Record the time of a segmented case."""
        self._seconds.observe(seconds)

    def count_rejection(self, rule: str) -> None:
        """Count a case that was rejected, by the rule that it breaks."""
        self._refusals.labels(rule).inc()

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
