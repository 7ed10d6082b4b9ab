"""One picture, read: from pixels to an answer with its p-value."""

from .detector import Detector
from .several import Detectors

__all__ = ["Detector", "Detectors"]
