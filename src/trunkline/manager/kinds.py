"""The classes that messages of an annotated type can have, which a service checks before it encodes one."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Final, Literal, NewType, Union

__all__ = ["kinds_of", "name_of"]

# What type checkers accept as well (PEP 484, the numeric tower), and what counts as bytes.
PROMOTED: Final[dict[type, tuple[type, ...]]] = {
    float: (float, int),
    complex: (complex, float, int),
    bytes: (bytes, bytearray, memoryview),
}


def kinds_of(annotation: Any) -> tuple[type, ...] | None:
    """Return the classes that a message of this type can have, None if that is unknown.

    It looks at the outermost type only: `list[Say]` is a list.
    """
    if annotation is None:
        return (types.NoneType,)
    if annotation is Any or annotation is object:
        return None
    if isinstance(annotation, NewType):
        return kinds_of(annotation.__supertype__)
    if hasattr(annotation, "__value__"):  # `type Message = Say | Leave`, from Python 3.12
        return kinds_of(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return kinds_of(arguments[0])
    if origin is Literal:
        return tuple({type(value) for value in arguments})
    if origin is Union or origin is types.UnionType:
        return _join(arguments)
    return _kinds_of_class(annotation if origin is None else origin)


def name_of(annotation: Any) -> str:
    """Return the type as it would be written in source code."""
    is_class = isinstance(annotation, type) and typing.get_origin(annotation) is None
    return annotation.__qualname__ if is_class else str(annotation).replace("typing.", "")


def _join(members: tuple[Any, ...]) -> tuple[type, ...] | None:
    found: list[type] = []
    for member in members:
        kinds = kinds_of(member)
        if kinds is None:
            return None
        found.extend(kinds)
    return tuple(dict.fromkeys(found))


def _kinds_of_class(cls: Any) -> tuple[type, ...] | None:
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return None
    return (dict,) if typing.is_typeddict(cls) else PROMOTED.get(cls, (cls,))
