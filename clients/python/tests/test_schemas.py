"""Golden messages, and what the client sends, against all of the schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from files import lines, schema

PAIRS = [("messages", "type"), ("operations", "op")]


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(f"{name}.json"))


@pytest.mark.parametrize(("name", "key"), PAIRS)
def test_golden_lines_are_valid(name: str, key: str) -> None:
    Draft202012Validator.check_schema(schema(f"{name}.json"))
    valid = validator(name)
    for line in lines(f"{name}.ndjson"):
        assert valid.is_valid(line), line[key]
        assert not valid.is_valid(line | {"added": 1}), line[key]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", "4711"),
        ("token_id", "0x1"),
        ("state", "fine"),
        ("bids", [["0.50", "1"]]),
        ("bids", [["0.5"]]),
        ("depth", 0),
        ("verified", None),
    ],
)
def test_a_wrong_field_is_refused(field: str, value: Any) -> None:
    snapshot = next(line for line in lines("messages.ndjson") if line["type"] == "snapshot")
    changed = json.loads(json.dumps(snapshot)) | {field: value}
    assert validator("messages").is_valid(changed) is (field == "verified")
