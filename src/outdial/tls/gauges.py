"""How long certificates last, for `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outdial.clock import Clock
from outdial.tls.contexts import ClientSecurity
from outdial.tls.watch import CertificateWatch


class CertificateGauges(Collector):
    """Asked at every scrape: a certificate may have been replaced since the last."""

    def __init__(
        self,
        watch: CertificateWatch,
        clock: Clock,
        handshakes: Callable[[], Mapping[str, int]],
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._handshakes = handshakes

    def collect(self) -> Iterator[Metric]:
        """One scrape; nothing of certificates where there are none."""
        now = self._clock.now()
        ours = GaugeMetricFamily(
            "outdial_certificate_days_left",
            "Days until a certificate of ours expires, by the section of its settings.",
            labels=["section"],
        )
        theirs = GaugeMetricFamily(
            "outdial_trunk_certificate_days_left",
            "Days until the certificate expires that a trunk showed last.",
            labels=["trunk"],
        )
        for secured in self._watch.secured():
            if secured.own is not None:
                ours.add_metric([secured.section], secured.own.days_left(now))
            if isinstance(secured, ClientSecurity) and secured.seen is not None:
                trunk = secured.section.removeprefix("trunks.")
                theirs.add_metric([trunk], secured.seen.days_left(now))
        yield ours
        yield theirs
        handshakes = CounterMetricFamily(
            "outdial_sip_tls_handshakes",
            "TLS handshakes of SIP, by how they ended: ok, or the kind of trouble.",
            labels=["result"],
        )
        for result, count in self._handshakes().items():
            handshakes.add_metric([result], count)
        yield handshakes
