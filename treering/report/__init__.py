"""What results look like: tables and figures, for people; knows no picture and no model."""

from .confusion import confusion_markdown, confusion_text, name, percent, rate_lines, rate_text
from .figure import confusion_figure
from .tables import markdown_table

__all__ = [
    "confusion_figure",
    "confusion_markdown",
    "confusion_text",
    "markdown_table",
    "name",
    "percent",
    "rate_lines",
    "rate_text",
]
