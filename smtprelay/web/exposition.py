"""Our figures as Prometheus reads them: all that touches prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from smtprelay.metrics import FIGURES, Figure, Histogram, Number


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        return map(_family, FIGURES)


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(_Figures())
ProcessCollector(registry=REGISTRY)


def exposition(accept: str) -> tuple[bytes, str]:
    """All figures, in the format that is asked for: OpenMetrics, or Prometheus' text.

    :param accept: the request's field.
    :returns: the octets and their content type.
    """
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type


def _family(figure: Figure) -> Metric:
    if isinstance(figure, Histogram):
        return _histogram(figure)
    assert isinstance(figure, Number)
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = kind(figure.name, figure.help, labels=figure.labels)
    for labels, value in figure.values.items():
        family.add_metric(labels, value)
    return family


def _histogram(figure: Histogram) -> Metric:
    family = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
    bounds = [*map(str, map(float, figure.buckets)), "+Inf"]
    for labels, series in figure.values.items():
        family.add_metric(labels, list(zip(bounds, accumulate(series.counts), strict=True)), series.sum)
    return family
