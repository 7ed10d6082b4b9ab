"""What results look like: tables and figures."""

from .confusion import (
    confusion_figure,
    confusion_markdown,
    confusion_text,
    markdown_table,
    percent,
    rate_lines,
    rate_text,
)

__all__ = [
    "confusion_figure",
    "confusion_markdown",
    "confusion_text",
    "markdown_table",
    "percent",
    "rate_lines",
    "rate_text",
]
