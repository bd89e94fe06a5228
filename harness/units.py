"""Quantities as people write them in YAML: durations, sizes, rates, bandwidths, steps of a clock.

Each type is a number in its base unit (seconds, bytes, operations or bytes a second) that can be written with a unit. A
bare number is refused wherever it could be misread: `5` is not a duration, `5s` is. What is printed reads back as the
very same number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_NUMBER = r"\d+(\.\d+)?"


class _Quantity:
    """Shared by the unit types: parsing, printing, and the hooks by which pydantic validates and documents them."""

    units: ClassVar[Mapping[str, Fraction]]
    """Every unit that can be written, in base units; exact, since 570 * 0.001 is not 0.57."""
    printed: ClassVar[tuple[str, ...]]
    """Units to print in, the largest first and the base unit last."""
    example: ClassVar[str]
    sign: ClassVar[str] = ""
    """Pattern of what must stand before the number."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `5s`, `1.5 MiB`, `50/s`. Raises `ValueError` that says what is expected."""
        if isinstance(text, cls):
            return text
        pattern = rf"\s*(?P<number>{cls.sign}{_NUMBER})\s*(?P<unit>[a-zA-Zµ/]*)\s*"
        match = re.fullmatch(pattern, text) if isinstance(text, str) else None
        if match is None or match["unit"] not in cls.units:
            units = ", ".join(unit for unit in cls.units if unit)
            raise ValueError(f"expected a number with a unit ({units}) such as {cls.example}")
        build: Callable[[Fraction], Self] = cls
        try:
            return build(Fraction(match["number"]) * cls.units[match["unit"]])
        except OverflowError:
            raise ValueError(f"expected a smaller number, such as {cls.example}") from None

    def __str__(self) -> str:
        """Return it as a whole number of the largest unit that fits exactly, else as a decimal of the base unit."""
        number: Any = self
        build: Any = type(self)
        for unit in self.printed if number else ():
            whole = round(Fraction(number) / self.units[unit])
            if build(whole * self.units[unit]) == self:
                return f"{whole}{unit}"
        return f"{Decimal(repr(self)):f}".removesuffix(".0") + self.printed[-1]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415  plug-ins import this module without pydantic

        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        units = "|".join(re.escape(unit) for unit in cls.units)
        return {"type": "string", "pattern": rf"^\s*{cls.sign}{_NUMBER}\s*({units})\s*$", "examples": [cls.example]}


class Seconds(_Quantity, float):
    """A duration, in seconds."""

    units: ClassVar[Mapping[str, Fraction]] = {
        "us": Fraction(1, 1_000_000),
        "µs": Fraction(1, 1_000_000),
        "ms": Fraction(1, 1_000),
        "s": Fraction(1),
        "m": Fraction(60),
        "min": Fraction(60),
        "h": Fraction(3600),
    }
    printed = ("h", "m", "s", "ms", "us", "s")
    example = "5s"


class Size(_Quantity, int):
    """An amount of memory or disk, in bytes; a fraction of a byte is dropped."""

    units: ClassVar[Mapping[str, Fraction]] = {
        "B": Fraction(1),
        "kB": Fraction(1000),
        "KB": Fraction(1000),
        "MB": Fraction(1000**2),
        "GB": Fraction(1000**3),
        "KiB": Fraction(2**10),
        "MiB": Fraction(2**20),
        "GiB": Fraction(2**30),
    }
    printed = ("GiB", "MiB", "KiB", "B")
    example = "512MiB"


class Rate(_Quantity, float):
    """Operations a second, over all clients together."""

    units: ClassVar[Mapping[str, Fraction]] = {
        "/s": Fraction(1),
        "/min": Fraction(1, 60),
        "/m": Fraction(1, 60),
        "/h": Fraction(1, 3600),
    }
    printed = ("/s", "/min", "/h", "/s")
    example = "50/s"


class Bandwidth(_Quantity, int):
    """How much may pass, in bytes a second; a fraction of a byte is dropped."""

    units: ClassVar[Mapping[str, Fraction]] = {
        "B/s": Fraction(1),
        "kB/s": Fraction(1000),
        "KB/s": Fraction(1000),
        "MB/s": Fraction(1000**2),
        "KiB/s": Fraction(2**10),
        "MiB/s": Fraction(2**20),
    }
    printed = ("MB/s", "kB/s", "B/s")
    example = "10kB/s"


class Shift(_Quantity, float):
    """How far a clock jumps, in seconds: always with its sign."""

    units: ClassVar[Mapping[str, Fraction]] = Seconds.units
    printed = Seconds.printed
    example = "+1h"
    sign = "[+-]"

    def __str__(self) -> str:
        """Return it as a duration is, after its sign."""
        text = super().__str__()
        return text if text.startswith("-") else f"+{text}"
