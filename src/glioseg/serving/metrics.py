"""What Prometheus reads at `/metrics`. No label of it comes from a client."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from glioseg.serving.model_reloader import Follower
from glioseg.serving.request_queue import Line

SECONDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class _State(Collector):
    """What is looked up when it is asked for."""

    follower: Follower
    line: Line

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        now = self.follower.current
        yield InfoMetricFamily(
            "glioseg_model", "The version that answers.", {"model": now.model, "version": now.version}
        )
        stale = self.follower.problem is not None
        yield GaugeMetricFamily(
            "glioseg_model_stale", "1 where a newer version cannot be loaded.", value=stale
        )
        yield GaugeMetricFamily("glioseg_queue_length", "Requests in the line.", value=len(self.line))


class Counters:
    """The service's numbers since it was started."""

    def __init__(self, follower: Follower, line: Line) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(follower, line))
        self._requests = Counter(
            "glioseg_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "glioseg_segment_seconds",
            "Seconds from a case's arrival to its answer.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "glioseg_contract_refusals", "Cases refused, by rule.", ["rule"], registry=self._registry
        )

    def answered(self, *, route: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(route, status).inc()

    def segmented(self, seconds: float) -> None:
        """Count a case that was segmented."""
        self._seconds.observe(seconds)

    def refused(self, rule: str) -> None:
        """Count a case that broke the contract."""
        self._refusals.labels(rule).inc()

    def page(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return generate_latest(self._registry)
