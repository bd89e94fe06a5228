"""What the README says is generated, or was run."""

from __future__ import annotations

import re

from harness.cli import COMMANDS
from harness.statuses import TABLE
from support.catalogue import README, renewed


def test_the_catalogue_is_that_of_the_registries() -> None:
    text = README.read_text()
    assert renewed(text) == text, "run: python tests/support/catalogue.py"


def test_every_command_is_mentioned_and_every_mentioned_command_exists() -> None:
    mentioned = set(re.findall(r"`bigfive (\w+)", README.read_text()))
    assert mentioned == set(COMMANDS)


def test_every_exit_status_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d) \|", README.read_text(), re.MULTILINE)}
    assert explained == {line.code for line in TABLE}
