"""One picture, read: from pixels to an answer with its p-value."""

from .detector import Detector

__all__ = ["Detector"]
