"""The image that containers of scenarios run: Python, the packages of this environment, `harness` and `targets`.

Three layers, each named by a hash of what it holds, so that only what has changed is made again, and nothing where
nothing has: a small Linux with the interpreter, the packages, the code. The Linux is

    $BIGFIVE_BASE_IMAGE     if set: used where the engine has it, else pulled, since the user asked for it
    python:3.X-slim         if the engine has it
    a Debian of our own     otherwise; made without any registry (`harness.containers.rootfs`)

Nothing is ever asked of a registry unless BIGFIVE_BASE_IMAGE names an image that the engine lacks. The image is also
called `bigfive:latest`; BIGFIVE_IMAGE tells a target which one its run is about.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import py_compile
import re
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.containers import rootfs, wires
from harness.containers.address import Address
from harness.containers.engine import BUILD_S, Engine, Order, prefixed
from harness.containers.labels import LABEL, OWNER, marks
from harness.errors import EngineFailed, EnvironmentLacks

BASE_VARIABLE = "BIGFIVE_BASE_IMAGE"
LATEST = "bigfive:latest"
Tell = Callable[[str, float], None]
"""Gets what is being made, and the part of it that is done, from 0 to 1."""

_RECIPE = 1  # of the layers in this file: a new number makes new ones
_DIGITS = 12
_KEPT = 5  # other checkouts on this machine, and trials that have begun, have theirs
_OUR_PACKAGES = ("harness", "targets")
_HOME = "opt/bigfive"
_ENVIRONMENT = (
    f"ENV PYTHONPATH=/{_HOME}/code:/{_HOME}/packages",
    "ENV PYTHONUNBUFFERED=1",
    "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
)
_PROOF = "import sys, importlib; [importlib.import_module(each) for each in sys.argv[1:]]"
_PROOF_S = 30.0
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True)
class Layer:
    """A layer: `write` makes the tar of what it adds to `parent`, or of everything where there is none."""

    title: str
    tag: str
    parent: str | None
    write: Callable[[Path, rootfs.Tell], None]


def tag(address: Address) -> str:
    """Return the name of the image as it has to be now: a hash of what it holds. Raises `EnvironmentLacks`."""
    with wires.dialed(address) as reachable:
        return layers(partial(wires.image_id, reachable))[-1].tag


def present(address: Address) -> str | None:
    """Return the name of the image if the engine has all of it but the code, which `make` adds in two seconds.

    Raises `OSError` where the engine does not answer, `EnvironmentLacks` where there can be no image.
    """
    with wires.dialed(address) as reachable:
        wanted = layers(partial(wires.image_id, reachable))
        return wanted[-1].tag if wires.image_id(reachable, wanted[-2].tag) else None


def make(engine: Engine, tell: Tell = lambda _what, _part: None) -> str:
    """Make what is missing of the image and return its name; where nothing is, this takes milliseconds.

    One at a time on a machine. Raises `EnvironmentLacks` with what went wrong, and `EngineFailed`.
    """
    with _alone():
        _pull_if_asked(engine, tell)
        wanted = layers(engine.image_id)
        missing = [layer for layer in wanted if engine.image_id(layer.tag) is None]
        for layer in missing:
            _make_layer(engine, layer, partial(tell, layer.title))
        name = wanted[-1].tag
        if missing:
            _prove(engine, name)
        with engine.asked(f"call {name} {LATEST}") as api:
            api.tag(name, *LATEST.split(":"))
        if missing:
            for layer in reversed(wanted):
                forget_old(engine, layer.tag.partition(":")[0])
    return name


def forget_old(engine: Engine, repository: str, keep: int = _KEPT) -> None:
    """Remove all images of a name but the newest: each change of the code has made one. One in use stays."""
    with engine.asked(f"list the images of {repository}") as api:
        found = sorted(api.images(repository), key=lambda each: int(each["Created"]), reverse=True)
    for old in (tag for each in found[keep:] for tag in each["RepoTags"] or ()):
        try:
            with engine.asked(f"remove {old}") as api:
                api.remove_image(old)
        except (EngineFailed, EnvironmentLacks):
            continue  # a container runs it, or an image stands on it


def layers(identity_of: Callable[[str], str | None]) -> list[Layer]:
    """Return the layers from the bottom up; `identity_of` says which images the engine has."""
    base = _chosen(identity_of)
    bottom = [] if base else [_debian()]
    name, unique = base or (bottom[0].tag, bottom[0].tag)
    packages = dict(_distributions("bigfive"))
    records = {key: each.read_text("RECORD") or each.version for key, each in packages.items() if key != "bigfive"}
    wheels = f"bigfive-packages:{_hash(unique, records)}"
    code = {name: path.read_bytes() for path, name in _code()}
    top = f"bigfive:{_hash(wheels, code)}"
    return [
        *bottom,
        Layer("the packages of this environment", wheels, name, partial(_write_packages, packages)),
        Layer("harness and targets", top, wheels, _write_code),
    ]


def _chosen(identity_of: Callable[[str], str | None]) -> tuple[str, str] | None:
    asked = os.environ.get(BASE_VARIABLE)
    name = asked or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    if found := identity_of(name):
        return name, found
    return (name, name) if asked else None


def _pull_if_asked(engine: Engine, tell: Tell) -> None:
    asked = os.environ.get(BASE_VARIABLE)
    if asked and engine.image_id(asked) is None:
        tell(f"pulling {asked}", 0.0)
        repository, _, version = asked.partition(":")
        with engine.asked(f"pull {asked}", BUILD_S) as api:
            api.pull(repository, tag=version or "latest")


def _debian() -> Layer:
    release = rootfs.Release.here()
    recipe = Path(rootfs.__file__).read_bytes()
    unique = _hash(release.distribution, release.codename, rootfs.interpreter(), recipe)
    write = partial(_write_debian, release, _cache() / f"rootfs-{unique}.tar")
    return Layer(
        f"a small {release.distribution} {release.codename} with this Python", f"bigfive-base:{unique}", None, write
    )


def _write_debian(release: rootfs.Release, kept: Path, target: Path, tell: rootfs.Tell) -> None:
    """Make it once for all engines of this user."""
    if not kept.exists():
        rootfs.write_base(kept.with_suffix(".new"), release, tell)
        kept.with_suffix(".new").replace(kept)
    target.symlink_to(kept)


def _write_packages(packages: Mapping[str, metadata.Distribution], target: Path, tell: rootfs.Tell) -> None:
    with tarfile.open(target, "w") as made:
        for number, each in enumerate(packages.values(), 1):
            rootfs.add_tree(made, _installed(each))
            tell(number / len(packages))


def _installed(distribution: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """Yield the files of an installed distribution that are importable; its scripts are for this machine."""
    own = {"bigfive"} & {distribution.name}
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        inside = ".." not in file.parts and not file.is_absolute() and path.is_file()
        if inside and (not own or ".dist-info" in file.parts[0]) and not file.name.endswith(".pth"):
            yield path, f"{_HOME}/packages/{file}"


def _write_code(target: Path, tell: rootfs.Tell) -> None:
    """Add the code compiled, as a container that compiles it at every start would start half a second later."""
    with tarfile.open(target, "w") as made, tempfile.TemporaryDirectory(prefix="bigfive-code-") as folder:
        files = list(_code())
        for number, (path, name) in enumerate(files, 1):
            rootfs.add_tree(made, iter([(path, name)]))
            if path.suffix == ".py":
                rootfs.add_tree(made, iter([_compiled(path, name, Path(folder) / f"{number}.pyc")]))
            tell(number / len(files))


def _compiled(path: Path, name: str, target: Path) -> tuple[Path, str]:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), str(target), f"/{name}", doraise=True, invalidation_mode=mode)
    return target, importlib.util.cache_from_source(name)


def _code() -> Iterator[tuple[Path, str]]:
    """Yield the files of our own packages, wherever this process has them from, with their names in the image."""
    for package in _OUR_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise EnvironmentLacks("image", f"there is no package `{package}` here", "pip install bigfive")
        folder = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path, f"{_HOME}/code/{package}/{path.relative_to(folder)}"


def _distributions(name: str, extras: Iterable[str] = ()) -> Iterator[tuple[str, metadata.Distribution]]:
    """Yield a distribution and what it needs, as far as it is installed: what is not has a marker against it."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(name, frozenset(extras))]
    while waiting:
        name, wanted = waiting.pop()
        key = _key(name)
        try:
            found.setdefault(key, metadata.distribution(name))
        except metadata.PackageNotFoundError:
            continue
        waiting += [each for each in _needed(found[key], wanted) if _key(each[0]) not in found]
    yield from sorted(found.items())


def _needed(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in _requirements(distribution):
        if match := _REQUIREMENT.match(line):
            name, wanted, marker = match.groups()
            extra = _EXTRA.search(marker or "")
            if extra is None or extra[1] in extras:
                yield name, frozenset(each.strip() for each in (wanted or "").split(",") if each)


def _requirements(distribution: metadata.Distribution) -> Sequence[str]:
    """Return what a distribution says it needs; an editable one says it in its source, as its metadata may be old."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    project = Path(unquote(urlsplit(origin.get("url", "")).path)) / "pyproject.toml"
    if origin.get("dir_info", {}).get("editable") and project.is_file():
        return list(tomllib.loads(project.read_text()).get("project", {}).get("dependencies", ()))
    return distribution.requires or ()


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _make_layer(engine: Engine, layer: Layer, tell: rootfs.Tell) -> None:
    with tempfile.TemporaryDirectory(prefix="bigfive-image-") as folder:
        tar = Path(folder) / "layer.tar"
        layer.write(tar, lambda part: tell(part * 0.8))
        repository, version = layer.tag.split(":")
        if layer.parent is None:
            with engine.asked(f"import {layer.tag}", BUILD_S) as api:
                _raise_for(api.import_image(str(tar), repository, version, changes=list(_ENVIRONMENT)))
        else:
            _commit(engine, layer, tar)
    tell(1.0)


def _commit(engine: Engine, layer: Layer, tar: Path) -> None:
    """Add a tar to an image. Not by a build: engines have had three builders, and some ask a registry first."""
    repository, version = layer.tag.split(":")
    label = f"image-{os.getpid()}"
    try:
        with engine.asked(f"create a container for {layer.tag}") as api:
            name = prefixed(label, version)
            container = api.create_container(layer.parent, ["true"], name=name, labels=marks(label))["Id"]
        with engine.asked(f"write into {layer.tag}", BUILD_S) as api, tar.open("rb") as data:
            api.put_archive(container, "/", data)
        with engine.asked(f"commit {layer.tag}", BUILD_S) as api:
            changes = [*_ENVIRONMENT, 'CMD ["python3"]', f"LABEL {LABEL}= {OWNER}="]
            api.commit(container, repository, version, changes=changes)
    finally:
        engine.sweep(label)


def _prove(engine: Engine, name: str) -> None:
    """Run the image once, as a base with another C library or interpreter would only fail inside a scenario."""
    label = f"image-{os.getpid()}"
    modules = ("harness.serve", "targets.supervision", "apsw", "msgspec", "pydantic", "psutil")
    order = Order(image=name, command=["python3", "-c", _PROOF, *modules], label=label, name="proof")
    try:
        container = engine.run(order)
        if engine.wait(container.id, _PROOF_S):
            raise _unfit(engine, name, engine.logs(container.id))
    finally:
        engine.sweep(label)


def _unfit(engine: Engine, name: str, said: str) -> EnvironmentLacks:
    """Return the error for an image that does not run; it is removed, so that nobody takes it for made."""
    with engine.asked(f"remove {name}") as api:
        api.remove_image(name, force=True)
    fix = "install bigfive again, so that its packages are here"
    if os.environ.get(BASE_VARIABLE):
        fix = f"unset {BASE_VARIABLE}, or name an image with Python {sys.version_info.major}.{sys.version_info.minor}"
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    return EnvironmentLacks("image", f"an image of {engine.address} cannot run our code: {last}", fix)


def _raise_for(said: str) -> None:
    last = json.loads(said.strip().splitlines()[-1])
    if "error" in last:
        raise EnvironmentLacks("image", f"the engine could not import it: {last['error']}", "look at the engine's log")


@contextmanager
def _alone() -> Iterator[None]:
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "bigfive"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hash(*parts: object) -> str:
    whole = hashlib.sha256(repr((_RECIPE, _ENVIRONMENT, *parts)).encode())
    return whole.hexdigest()[:_DIGITS]
