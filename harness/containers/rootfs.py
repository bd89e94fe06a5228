"""The files that an image is made of: a small Debian, the interpreter that runs us, its packages, and our own code.

The Debian is that of this machine (distribution and release), made by `mmdebstrap` from this machine's own apt sources:
glibc, busybox and certificates, no package manager. The interpreter is copied from where it runs into /usr/local, with
the libraries that it is linked with, so that the image has the same Python to the last digit: compiled wheels of the
environment just work. That holds because both sides have the same C library.
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentLacks

Tell = Callable[[float], None]
"""Gets the part that is done, from 0 to 1."""

PACKAGES = ("base-files", "busybox-static", "ca-certificates", "libc-bin", "libgcc-s1", "libstdc++6")
_LINES = 11  # that mmdebstrap says on its way
_LOADED = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)
_UNWANTED = {
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("site-packages", "dist-packages", "__phello__"),
}
_UNWANTED_MODULES = re.compile(r"(_tkinter|_test.*|_xx.*|xx.*|_ctypes_test)\..*so$")
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/tmp:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FIX = (
    "export BIGFIVE_BASE_IMAGE=python:{}.{}-slim, or another image with this Python, if your engine has or may fetch it"
)


@dataclass(frozen=True)
class Release:
    """A release of a Debian-like distribution."""

    distribution: str
    codename: str

    @classmethod
    def here(cls) -> Release:
        """Return this machine's. Raises `EnvironmentLacks` where there is no `mmdebstrap` for it."""
        system = platform.freedesktop_os_release()
        distribution, codename = system.get("ID", "linux"), system.get("VERSION_CODENAME", "")
        if "debian" not in {distribution, *system.get("ID_LIKE", "").split()} or not codename:
            reason = f"without a registry the image is made from Debian or Ubuntu packages, and this is {distribution}"
            raise EnvironmentLacks("image", reason, _FIX.format(*sys.version_info))
        return cls(distribution, codename)


def write_base(target: Path, release: Release, tell: Tell) -> None:
    """Write the tar of a Debian with our interpreter. Raises `EnvironmentLacks` with what mmdebstrap said."""
    with tempfile.TemporaryDirectory(prefix="bigfive-rootfs-") as folder:
        raw = Path(folder) / "base.tar"
        _debootstrap(raw, release, lambda part: tell(part * 0.7))
        with tarfile.open(target, "w") as made:
            _copy(raw, made)
            _add_busybox(raw, made)
            for name, text in _ACCOUNTS.items():
                _add_bytes(made, name, text.encode())
            tell(0.75)
            add_interpreter(made)
    tell(1.0)


def _debootstrap(target: Path, release: Release, tell: Tell) -> None:
    command = [
        *("mmdebstrap", "--variant=extract", f"--include={','.join(PACKAGES)}", "--format=tar"),
        *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale", "info", "lintian")),
        *(release.codename, str(target), *sources(release)),
    ]
    said: list[str] = []
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        raise EnvironmentLacks("image", f"mmdebstrap: {error.strerror}", "apt-get install mmdebstrap") from error
    with process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            tell(min(len(said) / _LINES, 1.0))
    if process.returncode:
        raise EnvironmentLacks("image", f"mmdebstrap failed: {' / '.join(said[-5:])}", "look at apt's sources")


def sources(release: Release) -> list[str]:
    """Return this machine's own apt sources for its release, a line each; others on it are none of the image's."""
    keys = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)"
    try:
        command = ["apt-get", "indextargets", "--format", keys, "Created-By: Packages"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentLacks("image", f"apt-get: {error}", "make `apt-get update` work") from error
    found = dict.fromkeys(_source(*line.split(maxsplit=3)[:3]) for line in said.splitlines())
    return [line for line in found if re.search(rf" {re.escape(release.codename)}(-updates|-security)? ", line)]


def _source(address: str, suite: str, component: str) -> str:
    return f"deb {address} {suite} {component}"


def _copy(raw: Path, made: tarfile.TarFile) -> None:
    with tarfile.open(raw) as base:
        for member in base:
            if not member.name.startswith(("./dev/", "./var/cache/", "./var/lib/apt/")):
                made.addfile(member, base.extractfile(member) if member.isreg() else None)


def _add_busybox(raw: Path, made: tarfile.TarFile) -> None:
    """Link every tool of busybox into /usr/local/sbin, where real ones in /usr/local/bin come first."""
    with tarfile.open(raw) as base, tempfile.TemporaryDirectory(prefix="bigfive-busybox-") as folder:
        member = base.getmember("./bin/busybox" if "./bin/busybox" in base.getnames() else "./usr/bin/busybox")
        data = base.extractfile(member)
        busybox = Path(folder) / "busybox"
        busybox.write_bytes(data.read() if data else b"")
        busybox.chmod(0o700)
        tools = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    target = f"/{member.name.removeprefix('./')}"
    for name in ["bin/sh", *(f"usr/local/sbin/{tool}" for tool in tools)]:
        add_link(made, name, target)


def add_interpreter(made: tarfile.TarFile) -> None:
    """Add the running interpreter below /usr/local, its libraries beside the C library."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    library = Path(os.__file__).parent
    made.add(program, f"usr/local/bin/{name}", filter=_owned_by_root)
    add_link(made, "usr/local/bin/python3", name)
    add_link(made, "usr/local/bin/python", name)
    made.add(library, f"usr/local/lib/{name}", filter=_wanted)
    modules = [path for path in (library / "lib-dynload").glob("*.so") if not _UNWANTED_MODULES.match(path.name)]
    libraries, folder = linked([program, *modules])
    present = {each.rpartition("/")[2] for each in made.getnames()}
    for path in libraries:
        if path.name not in present:
            _add_bytes(made, f"{folder.lstrip('/')}/{path.name}", path.read_bytes(), 0o755)


def linked(programs: Sequence[Path]) -> tuple[list[Path], str]:
    """Return the shared libraries that programs load, and the folder of the C library, where a loader finds them."""
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    found = {name: Path(path) for name, path in _LOADED.findall(said)}
    libc = found.get("libc.so.6")
    if libc is None:
        reason = "the interpreter does not use glibc, so a Debian cannot run it"
        raise EnvironmentLacks("image", reason, _FIX.format(*sys.version_info))
    return sorted(found.values()), str(libc.parent.resolve())


def interpreter() -> str:
    """Return what identifies the interpreter: two with one name are the same."""
    return f"{sys.version} {sysconfig.get_config_var('SOABI')} {platform.machine()}"


def add_link(made: tarfile.TarFile, name: str, target: str) -> None:
    """Add a symbolic link."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    made.addfile(member)


def add_tree(made: tarfile.TarFile, files: Iterator[tuple[Path, str]]) -> None:
    """Add files under the names given, owned by root, readable by everybody."""
    for path, name in files:
        made.add(path, name, recursive=False, filter=_owned_by_root)


def _add_bytes(made: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    made.addfile(member, io.BytesIO(data))


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = member.name.rpartition("/")[2]
    optimised = name.endswith((".opt-1.pyc", ".opt-2.pyc", ".a"))
    if name in _UNWANTED or name.startswith("config-") or optimised or _UNWANTED_MODULES.match(name):
        return None
    return _owned_by_root(member)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A build by anybody gives the image of one by root: no names, nobody who may write but root."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = (member.mode | 0o444 | (0o111 if member.mode & 0o111 else 0)) & 0o755
    return member
