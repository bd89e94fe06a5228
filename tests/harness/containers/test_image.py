"""The image: named by what it holds, made once, with the same Python and the targets in it."""

from __future__ import annotations

import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from harness.containers import image as images
from harness.containers import rootfs
from harness.containers.address import Address
from harness.containers.engine import Engine, Order
from harness.containers.rootfs import Release
from harness.errors import EnvironmentLacks

PATIENCE_S = 30.0


def nothing(_name: str) -> str | None:
    return None


@pytest.fixture(autouse=True)
def _no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(images.BASE_VARIABLE, raising=False)


def test_the_layers_stand_on_each_other_and_have_the_same_names_every_time() -> None:
    bottom, packages, code = images.layers(nothing)
    assert (bottom.parent, packages.parent, code.parent) == (None, bottom.tag, packages.tag)
    assert [layer.tag for layer in images.layers(nothing)] == [bottom.tag, packages.tag, code.tag]


def test_a_python_image_that_the_engine_has_is_the_base() -> None:
    name = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    packages, code = images.layers({name: "sha256:1"}.get)
    assert packages.parent == name
    assert packages.tag != images.layers({name: "sha256:2"}.get)[0].tag
    assert code.parent == packages.tag


def test_a_base_that_was_asked_for_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.BASE_VARIABLE, "mine:1")
    assert images.layers(nothing)[0].parent == "mine:1"


def test_a_change_of_the_code_changes_the_last_layer_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [layer.tag for layer in images.layers(nothing)]
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "changed.py").write_text("x = 1\n")
    monkeypatch.setattr(images, "_code", lambda: iter([(folder / "changed.py", "opt/bigfive/code/changed.py")]))
    after = [layer.tag for layer in images.layers(nothing)]
    assert (before[:2], before[2] != after[2]) == (after[:2], True)


def test_the_packages_are_what_the_project_needs_and_not_its_tests() -> None:
    names = {name for name, _ in images._distributions("bigfive")}
    assert {"bigfive", "msgspec", "pydantic", "pydantic-core", "psutil", "apsw"} <= names
    assert not {"pytest", "ruff", "mypy", "hypothesis"} & names


def test_an_extra_is_followed_only_where_it_is_asked_for() -> None:
    needed = dict(images._needed(metadata.distribution("redis"), frozenset()))
    assert "hiredis" not in needed
    assert "hiredis" in dict(images._needed(metadata.distribution("redis"), frozenset({"hiredis"})))


def test_the_code_in_the_image_is_compiled_and_belongs_to_root(tmp_path: Path) -> None:
    parts: list[float] = []
    images._write_code(tmp_path / "code.tar", parts.append)
    with tarfile.open(tmp_path / "code.tar") as made:
        members = {member.name: member for member in made}
    name = f"targets/__pycache__/durable.cpython-{sys.version_info.major}{sys.version_info.minor}.pyc"
    assert {"opt/bigfive/code/targets/durable.py", f"opt/bigfive/code/{name}"} <= members.keys()
    assert {(member.uid, member.mode & 0o022) for member in members.values()} == {(0, 0)}
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_the_interpreter_brings_its_libraries_and_leaves_its_tests(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "python.tar", "w") as made:
        rootfs.add_interpreter(made)
    with tarfile.open(tmp_path / "python.tar") as made:
        names = set(made.getnames())
    library = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}"
    assert {"usr/local/bin/python3", f"{library}/os.py"} <= names
    assert any(name.rpartition("/")[2].startswith("libssl.so") for name in names)
    assert not any(name.startswith((f"{library}/test/", f"{library}/site-packages/")) for name in names)


def test_only_this_release_s_own_sources_go_into_the_image() -> None:
    release = Release.here()
    found = rootfs.sources(release)
    assert found
    assert all(line.startswith("deb http") and f" {release.codename}" in line for line in found)


def test_an_engine_that_does_not_answer_is_said_before_anything_is_made() -> None:
    with pytest.raises(OSError, match="No such file"):
        images.present(Address("unix:///no/such/socket"))


@pytest.mark.chaos
def test_what_is_there_is_not_made_again(engine: Engine, image: str) -> None:
    made: list[str] = []
    assert images.make(engine, lambda what, _part: made.append(what)) == image
    assert made == []
    assert engine.image_id(images.LATEST) == engine.image_id(image)


@pytest.mark.chaos
def test_inside_is_the_same_python_with_the_targets(engine: Engine, image: str, label: str) -> None:
    program = "import sys, ssl, sqlite3, lzma, targets.state, harness.serve; print(sys.version); print(sys.prefix)"
    limits = {"ReadonlyRootfs": True, "CapDrop": ["ALL"]}
    order = Order(image=image, command=["python3", "-c", program], label=label, name="x", limits=limits)
    container = engine.run(order)
    assert engine.wait(container.id, PATIENCE_S) == 0
    assert engine.logs(container.id).splitlines() == [*sys.version.splitlines(), "/usr/local"]


@pytest.mark.chaos
def test_a_target_runs_inside_for_anybody(engine: Engine, image: str, label: str) -> None:
    command = ["sh", "-c", "id -u && touch /tmp/x && python -m targets.supervision --help"]
    container = engine.run(Order(image=image, command=command, label=label, name="x", limits={}))
    assert engine.wait(container.id, PATIENCE_S) == 0
    assert "usage: python -m targets.supervision" in engine.logs(container.id)


@pytest.mark.chaos
@pytest.mark.usefixtures("image")
def test_a_base_that_cannot_run_our_code_is_refused_and_not_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bottom = images.layers(engine.image_id)[0].tag
    monkeypatch.setenv(images.BASE_VARIABLE, bottom)
    monkeypatch.setattr(images, "_write_packages", lambda _packages, target, _tell: tarfile.open(target, "w").close())
    monkeypatch.setattr(images, "_RECIPE", -1)
    with pytest.raises(EnvironmentLacks, match="cannot run our code"):
        images.make(engine)
    layers = images.layers(engine.image_id)
    assert engine.image_id(layers[-1].tag) is None
    with engine.asked("remove the layer without packages") as api:
        api.remove_image(layers[0].tag)


@pytest.mark.chaos
def test_of_old_images_the_newest_are_kept_and_those_in_use(engine: Engine, label: str, tmp_path: Path) -> None:
    repository = "bigfive-test-old"
    tags = [f"{repository}:{number}" for number in range(4)]
    try:
        for tag in tags:
            (tmp_path / "number").write_text(tag)
            with tarfile.open(tmp_path / "tiny.tar", "w") as made:
                made.add(tmp_path / "number", "number")
            with engine.asked("import") as api:
                api.import_image(str(tmp_path / "tiny.tar"), *tag.split(":"))
        engine.create(Order(image=tags[0], command=["none"], label=label, name="user"))
        images.forget_old(engine, repository, keep=4)
        assert all(engine.image_id(tag) for tag in tags)
        images.forget_old(engine, repository, keep=0)
        assert [tag for tag in tags if engine.image_id(tag)] == tags[:1]
    finally:
        engine.sweep(label)
        images.forget_old(engine, repository, keep=0)
    assert engine.image_id(tags[0]) is None
