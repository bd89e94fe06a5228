"""What disk faults share: a file system of the run's own, a tmpfs on the target's folder, that can be made full.

The machine's own disks are never touched. The file system is made before the target starts (`Prepares`) and can be told
from every other by its source in /proc/self/mountinfo. It is in memory: nothing of it survives a reset of the machine,
and fsync on it costs nothing.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path

from harness.errors import FaultNotProven, ScenarioError
from harness.undo import undoer

_SOURCE = "bigfive"
_MS_REMOUNT = 32
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, size: int) -> None:
    """Put a file system of `size` bytes on an empty folder. Raises `ScenarioError` where two sizes are asked for."""
    if not folder.is_mount():
        _mount(folder, size, 0)
    elif (mounted := _size(folder)) != -(-size // mmap.PAGESIZE) * mmap.PAGESIZE:  # as the kernel rounds it
        raise ScenarioError(f"two faults want disks of {mounted} and of {size:d} bytes for one folder")


def own_disk(path: Path) -> Path:
    """Return where the run's own file system that holds `path` is mounted. Raises `FaultNotProven` for any other."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    if not any(fields[2] == number and fields[-2] == _SOURCE for fields in mounts):
        raise FaultNotProven(f"{path} is not on a file system of this run: a disk fault never touches another")
    return next(place for place in (path, *path.parents) if place.parent.stat().st_dev != device)


def free(disk: Path) -> int:
    """Return how many bytes are left."""
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def fill(disk: Path) -> None:
    """Leave nothing of what is free: the limit comes down to what is used. Raises `FaultNotProven`.

    The limit rather than a file of ours, since a target may count or sweep the files in its folder.
    """
    for _ in range(100):
        status = os.statvfs(disk)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        if not used:
            break  # a limit of 0 would mean none
        try:
            return _mount(disk, used, _MS_REMOUNT)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the target has written since: the limit would be below what is used
                raise
    raise FaultNotProven(f"{disk} cannot be filled: it is empty, or is being written to faster than we can look")


def write_a_block(disk: Path) -> str:
    """Write one block to a file without a name and return "ok", or the name of the error."""
    try:
        file = os.open(disk, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        os.write(file, b"\1" * os.statvfs(disk).f_frsize)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(file)
    return "ok"


@undoer("disk.resize")
def resize(path: str, size: int) -> None:
    """Give the run's file system the size it was made with; one that is gone needs none."""
    if Path(path).is_mount():
        _mount(Path(path), size, _MS_REMOUNT)


@undoer("disk.unmount")
def unmount(path: str) -> None:
    """Take the run's file system away, at once for everybody who looks; it is freed when its last user is gone."""
    if Path(path).is_mount() and _libc.umount2(os.fsencode(path), _MNT_DETACH):
        raise _error(path)


def _mount(folder: Path, size: int, flags: int) -> None:
    source, options = os.fsencode(_SOURCE), f"size={size:d},mode=700".encode()
    if _libc.mount(source, os.fsencode(folder), b"tmpfs", ctypes.c_ulong(flags), options):
        raise _error(str(folder))


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def _size(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_blocks * status.f_frsize
