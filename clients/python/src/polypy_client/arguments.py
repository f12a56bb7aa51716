"""Arguments of callers, held against what they have to be: at once, and by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def text(name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} has to be a text, not {value!r}")
    return value


def texts(name: str, value: Iterable[str]) -> list[str]:
    """A list of texts."""
    if isinstance(value, str):
        raise TypeError(f"{name} has to be a list of texts: [{value!r}]")
    try:
        items = list(value)
    except TypeError:
        raise TypeError(f"{name} has to be a list of texts, not {value!r}") from None
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"{name} has to have nothing but texts in it, such as '{item}', not {item!r}")
    return items


def number(name: str, value: Any) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} has to be a whole number, not {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """Yes or no. A text would be a yes, whatever it says."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} has to be True or False, not {value!r}")
    return value


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some texts."""
    if value not in choices:
        named = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} has to be {named}, not {value!r}")
    return text(name, value)
