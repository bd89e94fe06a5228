from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.clock import SystemClock
from harness.scenario import _yaml
from harness.scenario._problems import Problems as Collector
from harness.scenario.load import ScenarioErrors, load

Problems = Callable[..., list[str]]
Write = Callable[[str], Path]


TAGS = "tags are not supported, write the plain value"
ANCHORS = "anchors and aliases are not supported, use `params` and ${name}"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """PyYAML is built with libyaml, or it is not."""
    monkeypatch.setattr(_yaml, "_LOADER", getattr(yaml, request.param))
    return str(request.param)


def data(text: str) -> object:
    node = _yaml.parse(text, Collector("toy.yaml"))
    return node and node.data


def error(path: Path) -> str:
    with pytest.raises(ScenarioErrors) as caught:
        load(path)
    return str(caught.value).replace(f"{path}:", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("'5'", "5"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("012", "012"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("<<", "<<"),
        ("=", "="),
        ('"\\u00e9"', "é"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("\ufeff5", 5),
        ("", None),
    ],
)
def test_only_plain_values_are_more_than_text(text: str, value: object) -> None:
    assert data(text.removeprefix("\ufeff")) == value
    assert type(data(text.removeprefix("\ufeff"))) is type(value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("tags: [a]\ntags: [b]", "7:1: tags: given twice, first in line 6"),
        ("with: {a: {b: 1, b: 2}}", "6:18: with.a.b: given twice, first in line 6"),
        ("with: {1: a}", "6:8: with: expected a name as key (put it in quotes), got 1"),
        ("with: {null: a}", "6:8: with: expected a name as key (put it in quotes), got nothing"),
        ("with: {true: a}", "6:8: with: expected a name as key (put it in quotes), got true"),
        ("with: {[a]: a}", "6:8: with: expected a name as key (put it in quotes), got a list"),
        ("1: 2", "6:1: file: expected a name as key (put it in quotes), got 1"),
        ("with: {a: &x 1, b: *x}", f"6:11: with.a: {ANCHORS}, got 'x'"),
        ("with: *x", f"6:7: with: {ANCHORS}, got 'x'"),
        ("with: !!python/object:os.system {}", f"6:7: with: {TAGS}, got 'tag:yaml.org,2002:python/object:os.system'"),
        ("with: {a: !!str 5}", f"6:11: with.a: {TAGS}, got 'tag:yaml.org,2002:str'"),
        ("with: {a: ! 5}", f"6:11: with.a: {TAGS}, got '!'"),
        ("---\na: b", "6:1: file: a second document; one scenario a file"),
    ],
)  # fmt: skip
def test_a_surprise_of_the_format_is_refused_at_its_place(problems: Problems, more: str, message: str) -> None:
    assert problems(f"{more}\n") == [message]


def test_numbers_as_keys_do_not_hide_other_mistakes(problems: Problems) -> None:
    assert len(problems("with: {1: a}\ntags: [X]\n")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: file: the file is empty; it must at least say `scenario: a-name`"),
        ("# only a comment\n", "1:1: file: the file is empty; it must at least say `scenario: a-name`"),
        ("~\n", "1:1: file: the file is empty; it must at least say `scenario: a-name`"),
        ("- scenario: toy\n", "1:1: file: expected members such as `scenario: a-name`, got a list"),
        ("scenario", "1:1: file: expected members such as `scenario: a-name`, got 'scenario'"),
        ("a: b\nc: \0", "2:4: file: a character that YAML forbids, got '\\x00'"),
        ("a: b\nc: \ufeffd", "2:4: file: a character that YAML forbids, got '\\ufeff'"),
    ],
)
def test_a_file_that_is_no_scenario_is_one_error(write: Write, text: str, message: str) -> None:
    assert error(write(text)).replace(": : ", ": file: ") == message


def test_what_is_no_yaml_is_located(write: Write) -> None:
    assert error(write("a: b\nc: {d: e\nf: g\n")).startswith(("2:", "3:"))
    assert ": file: not YAML: " in error(write("a: b: c\n"))
    assert ": file: not YAML: " in error(write('a: "\\U00110000"\n'))


def test_a_placeholder_in_braces_and_a_tab_are_explained(write: Write) -> None:
    assert "a placeholder needs quotes: '${name}'" in error(write("with: {a: ${b}}\n"))
    assert "indent with spaces" in error(write("with:\n\ta: b\n"))


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_text_that_is_not_utf_8_is_located(tmp_path: Path, bom: bytes) -> None:
    (path := tmp_path / "latin.yaml").write_bytes(bom + b"a: b\nc: \xc3\xa9\xe9\n")
    assert error(path) == "2:5: file: is not UTF-8 text, got byte 0xe9"


def test_a_mark_at_the_start_of_the_file_is_allowed(tmp_path: Path) -> None:
    (path := tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfscenario: Toy\n")
    assert "1:11: scenario: expected lower-case words" in error(path)


def test_what_is_no_file_is_said_so(tmp_path: Path) -> None:
    assert error(tmp_path) == "1:1: file: is a folder, name a file in it"
    assert error(tmp_path / "nothing.yaml") == "1:1: file: there is no such file"
    os.mkfifo(tmp_path / "pipe.yaml")
    assert error(tmp_path / "pipe.yaml") == "1:1: file: there is no such file"
    assert error(tmp_path / ("x" * 300)) == "1:1: file: cannot be read: File name too long"


HOSTILE = {
    "ten megabytes": ("a: b\n" * 2_000_000, "is larger than 1024 KiB"),
    "ten thousand levels of lists": ("[" * 10_000, "nested more than 100 levels deep"),
    "ten thousand levels of mappings": ("{a: " * 10_000, "nested more than 100 levels deep"),
    "ten thousand levels of items": ("- " * 10_000, "nested more than 100 levels deep"),
    "a thousand levels of indentation": ("\n".join(" " * n + "a:" for n in range(1_000)), "nested more than 100"),
    "ten thousand levels of keys": ("? " * 10_000, "nested more than 100 levels deep"),
    "a hundred thousand values": ("a: [" + "1," * 100_000 + "]", "more than 20000 values"),
    "a bomb of aliases": (
        "a: &a [x, x]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "anchors and aliases are not supported",
    ),
    "one long line": ("a: " + "x" * 1_000_000, "a: unknown member"),
    "one long key": ("? " + "x" * 1_000_000 + "\n: y", "unknown member"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("loader", ["CSafeLoader"], indirect=True)
def test_a_hostile_file_is_one_error_within_a_second_and_bounded_memory(write: Write, name: str) -> None:
    text, message = HOSTILE[name]
    path = write(text)
    began = SystemClock().monotonic_ns()
    found = error(path)
    assert SystemClock().monotonic_ns() - began < 1e9
    assert message in found
    assert len(found) < 2000
    tracemalloc.start()
    error(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
