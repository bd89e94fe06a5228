from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scenario.load import ScenarioErrors, is_scenario, load

VALID = Path(__file__).with_name("valid.yaml.txt").read_text()
WORDS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "'",
        '"',
        "&a ",
        "*a",
        "!!str ",
        "|",
        ">",
        "#",
        "---\n",
        "%",
        "\t",
        ",",
    ),
    *("${teeth}", "${", "$$", "null", "~", "yes", "012", "-1", "1e9", ".inf", "0s", "9999h", "5MB", "+1s", "..", "é"),
    *("fault", "on", "for", "every", "times", "with", "at", "matrix", "params", "convicts", "target", "9" * 400 + "s"),
]


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "fuzzed.yaml"


def loads_or_says_why(path: Path, content: bytes, params: Mapping[str, str]) -> None:
    path.write_bytes(content)
    is_scenario(path)
    with contextlib.suppress(ScenarioErrors):
        assert load(path, params)


@settings(deadline=1000)
@given(content=st.binary(max_size=2000))
def test_any_bytes_load_or_say_why(path: Path, content: bytes) -> None:
    loads_or_says_why(path, content, {})


@settings(deadline=1000)
@given(text=st.text(max_size=2000), value=st.text(max_size=50))
def test_any_text_loads_or_says_why(path: Path, text: str, value: str) -> None:
    loads_or_says_why(path, text.encode("utf-8", "surrogatepass"), {"teeth": value})


EDITS = st.lists(
    st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(WORDS) | st.text(max_size=3)), max_size=6
)


@settings(max_examples=300, deadline=1000)
@given(edits=EDITS, value=st.none() | st.sampled_from(WORDS))
def test_a_scenario_with_any_mistakes_loads_or_says_why(
    path: Path, edits: list[tuple[int, int, str]], value: str | None
) -> None:
    text = VALID
    for start, length, inserted in edits:
        text = text[:start] + inserted + text[start + length :]
    loads_or_says_why(path, text.encode("utf-8", "surrogatepass"), {} if value is None else {"teeth": value})


LINES = VALID.splitlines(keepends=True)


@settings(max_examples=200, deadline=1000)
@given(lines=st.lists(st.sampled_from(LINES), max_size=2 * len(LINES)))
def test_any_shuffle_of_its_lines_loads_or_says_why(path: Path, lines: list[str]) -> None:
    loads_or_says_why(path, "".join(lines).encode(), {})


def test_the_scenario_that_is_mutated_is_valid() -> None:
    assert len(load(Path(__file__).with_name("valid.yaml.txt"))) == 4
