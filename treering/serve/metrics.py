"""Counts for Prometheus: of requests, pictures and the queue; of no content."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .worker import Worker

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """One registry a server."""

    def __init__(self, worker: Worker) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "treering_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram("treering_request_seconds", "Seconds of a request.", ["route"], registry=self.registry)
        self.pictures = Counter("treering_pictures", "Pictures by answer.", ["answer"], registry=self.registry)
        self.gone = Counter(
            "treering_clients_gone", "Clients that went before their answer came.", registry=self.registry
        )
        places = Gauge("treering_queue_places_taken", "Pictures that wait or are read.", registry=self.registry)
        places.set_function(lambda: worker.taken)
        most = Gauge("treering_queue_places", "Pictures that may wait or be read.", registry=self.registry)
        most.set(worker.places)

    def text(self) -> bytes:
        """What ``/metrics`` shows."""
        return generate_latest(self.registry)
