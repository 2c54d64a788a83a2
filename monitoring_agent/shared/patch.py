"""What changed from one report to the next, as a JSON merge patch (RFC 7396): a fifth of a report, usually.

A report holds no null, so that a patch can say with null that something is gone. Lists are replaced as a whole.
"""

from typing import Any

Document = dict[str, Any]


def difference(before: Document, after: Document) -> Document:
    """The patch that makes `after` of `before`. What both share as one object is not looked into."""
    patch: Document = {}
    for key, value in after.items():
        old = before.get(key)
        if value is old or value == old:
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            patch[key] = difference(old, value)
        else:
            patch[key] = value
    for key in before.keys() - after.keys():
        patch[key] = None
    return patch


def apply(document: Document, patch: Document) -> None:
    """Make of the document, in place, what the patch wants. The patch may become part of it."""
    for key, value in patch.items():
        if value is None:
            document.pop(key, None)
        elif isinstance(value, dict):
            old = document.get(key)
            if not isinstance(old, dict):
                old = document[key] = {}
            apply(old, value)
        else:
            document[key] = value
