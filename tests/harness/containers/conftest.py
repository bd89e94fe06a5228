"""The machine's engine and our image in it, or a skip with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness.containers import image as images
from harness.containers.engine import Engine
from harness.doctor import CAPABILITIES, probe
from harness.errors import EnvironmentLacks
from support.engines import fresh_label


@pytest.fixture
def engine(lacking: Callable[[str], None]) -> Iterator[Engine]:
    if not (finding := probe(CAPABILITIES["docker"])).ok:
        lacking(f"{finding.detail}: bigfive doctor --fix docker")
    with Engine.connect() as engine:
        yield engine


@pytest.fixture
def image(engine: Engine, lacking: Callable[[str], None]) -> str:
    """The image of this very code: made, if it is not there."""
    try:
        return images.make(engine)
    except EnvironmentLacks as error:
        lacking(str(error))
        raise


@pytest.fixture
def label(engine: Engine) -> Iterator[str]:
    label = fresh_label()
    yield label
    engine.sweep(label)
