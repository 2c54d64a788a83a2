"""JSON in and out."""

import json

import pytest

from monitoring_agent.shared import wire

BAD = {
    b"": "not JSON",
    b"<html></html>": "not JSON",
    b'{"a": 1': "not JSON",
    b'{"a": 1} {"b": 2}': "not JSON",
    b"[1, 2]": "a JSON list, not an object",
    b"null": "a JSON NoneType, not an object",
    b'{"a": NaN}': "NaN is not a JSON number",
    b'{"a": -Infinity}': "-Infinity is not a JSON number",
    b'{"a": "\xff"}': "not JSON",
    b'{"a": "\x01"}': "not JSON",
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000: "nested too deeply",
    b'{"a":' + b"[" * 64 + b"]" * 64 + b"}": "nested too deeply",
    b'{"a":[' + b"[]," * 30_000 + b"1]}": "more than 20000 objects and lists",
    b'{"a": ' + b"9" * 10_000 + b"}": "not JSON",
}


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_not_one_json_object_is_refused_with_the_reason(body: bytes) -> None:
    with pytest.raises(wire.NotJson, match=BAD[body]):
        wire.decode(body)


def test_wide_and_nearly_too_deep_documents_are_accepted() -> None:
    wide = {"cores": {str(number): {"busy": 1.0} for number in range(512)}}
    assert wire.decode(wire.encode(wide)) == wide
    wire.decode(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")


def test_brackets_inside_of_texts_do_not_count_as_depth() -> None:
    wire.decode(wire.encode({"a": "[" * 100, **{str(number): [] for number in range(100)}}))
    with pytest.raises(wire.NotJson, match="nested too deeply"):
        wire.decode(b'{"b":"]]]","a":' + b"[" * 64 + b"]" * 64 + b"}")


def test_what_json_cannot_say_is_not_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.encode({"a": float("nan")})


def test_half_a_letter_for_which_other_readers_of_json_refuse_all_of_it_becomes_the_mark_for_none() -> None:
    body = rb'{"\ud800 a": ["\uDFFF", {"b": "\udc80\ud83d"}], "whole": "\ud83d\ude00 \u0000", "n": 1, "t": null}'
    document = wire.decode(body)
    assert document == {
        "\ufffd a": ["\ufffd", {"b": "\ufffd\ufffd"}],
        "whole": "\U0001f600 \0",
        "n": 1,
        "t": None,
    }
    json.dumps(document, ensure_ascii=False).encode("utf-8")
