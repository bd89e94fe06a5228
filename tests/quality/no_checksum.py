"""A planted bug: `state.json` and the snapshots have no checksum; whatever parses is taken from them, and served.

Entry by entry, as lenient parsers do: a flipped bit makes another value, another version, another key, or drops the
entry. Everything else is the real thing. The check `no_acknowledged_write_lost` must convict it. Referenced as
`…/tests/quality/no_checksum.py:adapter`.

Nine flips in ten land where they can be seen, the others in commas and in members that are not served: the scenario
flips a bit in several lives of the service.
"""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec

from targets.state import documents
from targets.state.client import StateClient
from targets.state.documents import Document
from targets.state.host import Host
from targets.state.service import main

if TYPE_CHECKING:
    from targets.state.store import Emit

_ENTRY = re.compile(rb'"[^"]*":\[\d+,"[^"]*"\]')
_ENTRIES = re.compile(rb'"entries":\{(.*?)\}', re.DOTALL)


def whatever_parses(data: bytes) -> Document | None:
    """Serve what is legible of a document whose values are texts."""
    found = _ENTRIES.search(data)
    if found is None:
        return None
    entries = b"{%s}" % b",".join(entry for entry in _ENTRY.findall(found[1]) if _parses(entry))
    try:
        return msgspec.json.decode(data[: found.start(1) - 1] + entries + data[found.end(1) + 1 :], type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _parses(entry: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(b"{%s}" % entry))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=StateClient)

if __name__ == "__main__":
    documents.decode = whatever_parses
    sys.exit(main())
