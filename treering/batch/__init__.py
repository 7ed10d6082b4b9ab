"""Many pictures: which, with which labels, and a run that can be stopped at any moment."""

from .book import Progress
from .film import Film
from .gallery import Gallery, is_file
from .items import FIGURE, RESULTS, SUMMARY, TABLE, UNKNOWN, Detect, Item, Label, Line
from .journal import settings_id
from .labels import labels_from_folders, labels_from_manifest
from .lines import Loaded, lines, load
from .manifest import Manifest
from .run import verify
from .sources import find
from .summary import Summary

__all__ = [
    "FIGURE",
    "RESULTS",
    "SUMMARY",
    "TABLE",
    "UNKNOWN",
    "Detect",
    "Film",
    "Gallery",
    "Item",
    "Label",
    "Line",
    "Loaded",
    "Manifest",
    "Progress",
    "Summary",
    "find",
    "is_file",
    "labels_from_folders",
    "labels_from_manifest",
    "lines",
    "load",
    "settings_id",
    "verify",
]
