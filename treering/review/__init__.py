"""What a folder of results holds, told to people: from lines to the page of a report."""

from .folder import Folder
from .origin import ORIGIN, Origin, Part
from .shelf import Shelf
from .write import REPORT, report

__all__ = ["ORIGIN", "REPORT", "Folder", "Origin", "Part", "Shelf", "report"]
