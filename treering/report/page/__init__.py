"""The report of a run as one HTML file that asks nobody for anything."""

from .content import FAILED, Case, Group, Page, Reasons, Row
from .html import html
from .tally import Tally

__all__ = ["FAILED", "Case", "Group", "Page", "Reasons", "Row", "Tally", "html"]
