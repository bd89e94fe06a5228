"""Text of a certain form as a field of a dataclass, validated and documented by pydantic."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Text:
    """Annotation of a field whose text must match `pattern` as a whole; `make` turns it into the field's value."""

    pattern: str
    expected: str
    make: Callable[[str], Any] = str

    def parse(self, text: object) -> Any:  # noqa: ANN401  whatever `make` makes
        """Return the value. Raises `ValueError` that says what is expected."""
        if not isinstance(text, str) or not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected {self.expected}")
        return self.make(text)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415  the engine reads models without pydantic

        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({self.pattern})$"}
