"""The models by name. The docstring of each is what `bigfive explain` says of it."""

from __future__ import annotations

from typing import Literal

from harness.errors import ScenarioError
from harness.histories.models._base import Model
from harness.histories.models.containers import Counter, KeyValue, Set
from harness.histories.models.locks import FencedMutex, Mutex, OwnerMutex, ReentrantMutex
from harness.histories.models.registers import CasRegister, Register, VersionedRegister

ModelName = Literal[
    "cas_register",
    "counter",
    "fenced_mutex",
    "kv",
    "mutex",
    "owner_mutex",
    "reentrant_mutex",
    "register",
    "set",
    "versioned_register",
]
MODELS: dict[str, type[Model]] = {
    "cas_register": CasRegister,
    "counter": Counter,
    "fenced_mutex": FencedMutex,
    "kv": KeyValue,
    "mutex": Mutex,
    "owner_mutex": OwnerMutex,
    "reentrant_mutex": ReentrantMutex,
    "register": Register,
    "set": Set,
    "versioned_register": VersionedRegister,
}


def named(name: str, initial: object = ...) -> Model:
    """Return the model called `name`, with its own initial value unless one is given. Raises `ScenarioError`."""
    if name not in MODELS:
        raise ScenarioError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name](initial)
