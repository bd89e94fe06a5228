"""A planted bug: fencing tokens are counted in the backend's memory alone, and begin again when it comes back empty.

The real locks keep an epoch at the resource, which outlives the backend; here every memory is taken for the first. The
check `fencing_tokens_increase` must convict it. Referenced as `…/tests/quality/token_reset_at_restart.py:adapter`.
"""

from __future__ import annotations

from types import SimpleNamespace

from targets.locking.adapter import host
from targets.locking.client import LockingClient
from targets.locking.fencing import FencedResource

FencedResource.epoch_of = lambda _self, _incarnation: 0  # type: ignore[method-assign]

adapter = SimpleNamespace(host=host, client=LockingClient)
