"""A planted bug: a log ends at its first bad record, and what follows is dropped without a word, as SQLite's WAL does.

Right for a torn tail, wrong for anything else: whole, acknowledged records stand behind the bad one. Everything else is
the real thing, the mirror included, so damage to one copy is still healed. Damage to both, in different records, is
not: the real store takes each record from the copy in which it is whole. The check `no_acknowledged_write_lost` must
convict it. Referenced as `…/tests/quality/truncates_at_first_bad_record.py:adapter`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from targets.state import frames, layout
from targets.state.client import StateClient
from targets.state.host import Host
from targets.state.service import main
from targets.state.vault import Vault

if TYPE_CHECKING:
    from targets.state.store import Emit

_read = Vault.read


def up_to_the_first_bad_record(self: Vault) -> dict[str, bytes]:
    return {name: _cut(data) if layout.generation_of(name) else data for name, data in _read(self).items()}


def _cut(log: bytes) -> bytes:
    _, gaps = frames.scan(log)
    return log[: gaps[0].offset] if gaps else log


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=StateClient)

if __name__ == "__main__":
    Vault.read = up_to_the_first_bad_record  # type: ignore[method-assign]
    # A checkpoint would give the bug away: it knows records that the shortened log lacks, which recovery refuses.
    never = str(10**9)
    sys.exit(main([*sys.argv[1:], "--checkpoint-every", never, "--snapshot-every", never]))
