"""Speak to nftables: by its library in this process (0.2 ms a transaction), by the program `nft` where that is missing.

Not promised: a deadline inside the library. It waits for nothing but the kernel.
"""

from __future__ import annotations

import ctypes
import functools
import json
import shutil
import subprocess
import threading
import weakref
from typing import Any

from targets.network.errors import KernelRefused

_TIMEOUT_S = 20.0
_AS_JSON = 1 << 4
_MISSING = ("No such file or directory", "does not exist")


class Nft:
    """Transactions in the network namespace in which this was made. Its calls may come from several threads."""

    def __init__(self, *, by_program: bool = False) -> None:
        library = None if by_program else _library()
        if library is None and shutil.which("nft") is None:
            raise KernelRefused("neither libnftables nor nft is here; install them: apt-get install nftables")
        self._run = _execute if library is None else _Context(library).run

    def apply(self, text: str) -> None:
        """Do all of `text`, or nothing. Raises `KernelRefused` with what nft says."""
        if text:
            self._done(text)

    def read(self, command: str) -> list[dict[str, Any]]:
        """Return the objects that a `list` command finds; none where the table, set or chain does not exist."""
        try:
            said = self._done(command)
        except KernelRefused as error:
            if error.missing:
                return []
            raise
        return list(json.loads(said)["nftables"][1:]) if said else []

    def _done(self, text: str) -> str:
        said, error = self._run(text)
        if error is not None:
            first = next((line.strip() for line in error.splitlines() if line.strip()), "it gave no reason")
            missing = any(each in error for each in _MISSING)
            advice = "" if missing else "; this needs root (CAP_NET_ADMIN) and a kernel with nf_tables"
            raise KernelRefused(f"nft refused: {first}{advice}", missing=missing)
        return said


class _Context:
    """A context of the library: its socket, and the buffers of what it says."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._context = library.nft_ctx_new(0)
        weakref.finalize(self, library.nft_ctx_free, self._context)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, _AS_JSON)

    def run(self, text: str) -> tuple[str, str | None]:
        """Return what the library says, and its error, None when all went well."""
        with self._lock:
            status = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
            said = self._library.nft_ctx_get_output_buffer(self._context).decode()
            error = self._library.nft_ctx_get_error_buffer(self._context).decode()
        return said, error if status else None


def _execute(text: str) -> tuple[str, str | None]:
    command = ["nft", "--json", *text.split()] if text.startswith("list ") else ["nft", "--file", "-"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, done.stderr if done.returncode else None


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
    for name in ("get_output_buffer", "get_error_buffer", "buffer_output", "buffer_error", "free"):
        getattr(library, f"nft_ctx_{name}").argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    return library
