"""Values: small objects that are made once and never changed.

`@frozen` is to mypy what ``@dataclass(frozen=True, slots=True)`` is: an assignment to a field is an
error. When the program runs nothing watches for it, for that is dear: the constructor of a frozen
dataclass assigns each field by ``object.__setattr__``, which looks every name up in its type, and a
call makes about a hundred values. Without it a whole call costs up to a tenth less CPU
(docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(made: type[T]) -> type[T]:
    """Compared and hashed by its fields, as a frozen dataclass is, and with slots."""
    return dataclass(slots=True, unsafe_hash=True)(made)
