"""The contract on the wire between an agent and whoever asks it: names, limits, and JSON in and out."""

import json
import re
from typing import Any, NoReturn

VERSION = "0.1.0"
SCHEMA = 1

# Both daemons must agree on this limit: an agent never says more, a supervisor never reads more.
MAX_BODY_BYTES = 1024 * 1024
# The same for many reports at once, of which there may be more than there is room for.
MAX_REPORTS_BYTES = 4 * 1024 * 1024
# Taking apart a document of this many objects and lists takes a hundredth of a second; a report has some hundred.
MAX_PARTS = 20_000
# Readers of JSON give up at depths between some hundred and some thousand; a report goes a handful deep.
MAX_DEPTH = 64


_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))

# Half of a pair of UTF-16 is no letter. Python takes it, `\ud800`, where others refuse all of the document (RFC 8259,
# 8.2): one agent must not have the whole fleet unreadable for them.
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


class NotJson(ValueError):
    """The bytes are not one JSON object; the text says why."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON number")


# Made once: json.dumps makes an encoder for each call that wants other separators.
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encode(document: dict[str, Any]) -> bytes:
    """The document as compact UTF-8 JSON. Raises ValueError on NaN and infinities, which JSON cannot say."""
    return _encoder.encode(document).encode("ascii")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def decode(body: bytes) -> dict[str, Any]:
    """The one JSON object in the body, with U+FFFD for what is no letter in its texts.

    Raises NotJson for anything else: wrong encoding, broken JSON, NaN, nesting deeper than MAX_DEPTH, or a
    document that is not an object.
    """
    brackets = body.translate(None, _NOT_BRACKETS)
    parts = brackets.count(b"{") + brackets.count(b"[")
    if parts > MAX_PARTS:
        raise NotJson(f"more than {MAX_PARTS} objects and lists")
    try:
        document = _decoder.decode(body.decode("utf-8"))
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError as error:
        raise NotJson(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotJson(f"a JSON {type(document).__name__}, not an object")
    if parts > MAX_DEPTH and not _is_shallow(brackets) and _is_deeper(document, MAX_DEPTH):
        raise NotJson("nested too deeply")
    if b"\\u" in body and _ESCAPED_HALF.search(body):
        whole: dict[str, Any] = _without_halves(document)
        return whole
    return document


def _without_halves(part: Any) -> Any:
    if isinstance(part, str):
        return _HALF.sub("\ufffd", part)
    if isinstance(part, dict):
        return {_HALF.sub("\ufffd", key): _without_halves(value) for key, value in part.items()}
    return [_without_halves(value) for value in part] if isinstance(part, list) else part


def _is_shallow(brackets: bytes) -> bool:
    """Whether the brackets alone show that nothing nests too deeply: much cheaper than to look at the document.

    Each turn takes the innermost one or two levels away. Brackets inside of texts may leave it undecided.
    """
    for _ in range(MAX_DEPTH // 2):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return True
    return False


def _is_deeper(document: Any, depth: int) -> bool:
    level = [document]
    for _ in range(depth):
        children = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for members in children for child in members if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def bearer(token: str) -> str:
    """The value of the Authorization header that carries the shared token (RFC 6750)."""
    return f"Bearer {token}"
