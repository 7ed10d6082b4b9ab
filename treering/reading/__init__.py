"""One picture, read: from pixels to an answer with its p-value."""

from .detector import FPR, Detector

__all__ = ["FPR", "Detector"]
