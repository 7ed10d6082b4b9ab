"""Many pictures: which, with which labels, and a run that can be stopped at any moment."""

from .run import (
    FIGURE,
    RESULTS,
    SUMMARY,
    TABLE,
    UNKNOWN,
    Item,
    Label,
    Progress,
    Summary,
    find,
    labels_from_folders,
    labels_from_manifest,
    settings_id,
    verify,
)

__all__ = [
    "FIGURE",
    "RESULTS",
    "SUMMARY",
    "TABLE",
    "UNKNOWN",
    "Item",
    "Label",
    "Progress",
    "Summary",
    "find",
    "labels_from_folders",
    "labels_from_manifest",
    "settings_id",
    "verify",
]
