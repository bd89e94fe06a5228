"""What `bigfive doctor --fix` does: a fix is data, so that what is printed beforehand is what is done.

A fix names Debian packages, and steps that depend on the machine only through `Machine`. Every step may be taken again.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import doctor
from harness.containers import wires
from harness.containers.address import DEFAULT_URL, Address
from harness.doctor import CAPABILITIES, Capability
from harness.errors import EnvironmentLacks, TimedOut
from harness.undo import state_directory
from harness.waiting import until

Tell = Callable[[str, float], None]
"""Gets what is being done, and the part of it that is done, from 0 to 1."""

TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
_GO_THAT_FETCHES_ITS_SUCCESSOR = (1, 21)
_GO_FOR_TOXIPROXY = "1.23.12"
_APT = {"DEBIAN_FRONTEND": "noninteractive"}
_SHOWN_LINES = 8
_ENGINE_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Machine:
    """What the steps depend on. `go` is the version on PATH, or None."""

    distribution: str
    name: str
    user: int
    systemd: bool
    go: tuple[int, int] | None = None

    @classmethod
    def here(cls) -> Machine:
        """Look at this machine."""
        try:
            system = platform.freedesktop_os_release()
        except OSError:
            system = {"ID": platform.system().lower()}
        return cls(
            distribution=system["ID"],
            name=system.get("PRETTY_NAME", system["ID"]),
            user=os.geteuid(),
            systemd=Path("/run/systemd/system").is_dir(),
            go=_go_version(),
        )

    def refusal(self, capabilities: Sequence[Capability]) -> EnvironmentLacks | None:
        """Return why nothing can be fixed here, and what to do by hand."""
        by_hand = "; ".join(f"{each.name}: {each.fix}" for each in capabilities)
        if self.distribution not in {"debian", "ubuntu"}:
            reason = f"--fix knows Debian and Ubuntu, and this is {self.name}"
            return EnvironmentLacks("doctor", reason, f"by hand: {by_hand}")
        if self.user:
            return EnvironmentLacks(
                "doctor", "--fix installs packages, and this is not root", f"run it as root, or {by_hand}"
            )
        return None


@dataclass(frozen=True)
class Step:
    """One thing that is done: a command, or a function that `title` describes in full."""

    title: str
    act: tuple[str, ...] | Callable[[Tell], None]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it as it is announced."""
        if not isinstance(self.act, tuple):
            return self.title
        return " ".join((*(f"{name}={value}" for name, value in self.environment.items()), *self.act))


@dataclass(frozen=True)
class Fix:
    """How a capability is got: packages, then steps; `after` names what it is no use without."""

    packages: tuple[str, ...] = ()
    steps: Callable[[Machine], tuple[Step, ...]] = lambda _machine: ()
    after: tuple[str, ...] = ()


def _docker(machine: Machine) -> tuple[Step, ...]:
    if machine.systemd:
        return (Step("start the engine", ("systemctl", "enable", "--now", "docker")),)
    log = state_directory() / "dockerd.log"
    return (Step(f"start `dockerd`, detached, its log in {log}, and wait until it answers", start_dockerd),)


def _image(_machine: Machine) -> tuple[Step, ...]:
    return (
        Step("make the image that containers run (Debian, this Python, its packages), without a registry", _make_image),
    )


def _redis(machine: Machine) -> tuple[Step, ...]:
    stop = ("systemctl", "disable", "--now", "redis-server") if machine.systemd else ("service", "redis-server", "stop")
    return (Step("stop the server that the package has started: targets start their own", stop),)


def _chromium(machine: Machine) -> tuple[Step, ...]:
    if machine.distribution == "ubuntu":  # its package is a stub that leads to the snap
        return (Step("install chromium", ("snap", "install", "chromium")),)
    return (_apt_install(("chromium",)),)


def _toxiproxy(machine: Machine) -> tuple[Step, ...]:
    folder = doctor.own_programs()
    built = folder / "toxiproxy-server"
    environment = {"GOBIN": str(folder), "GOTOOLCHAIN": "auto"}
    install = Step("build toxiproxy", ("go", "install", TOXIPROXY), environment)
    rename = Step("call it by its name", ("mv", str(folder / "server"), str(built)))
    if machine.go is None:  # which one the packages bring is known only when they are here
        old = Step(f"build toxiproxy ({install}; an old Go fetches Go {_GO_FOR_TOXIPROXY} for it)", build_toxiproxy)
        return (_apt_install(("golang-go",)), old, rename)
    if machine.go < _GO_THAT_FETCHES_ITS_SUCCESSOR:
        return (Step(f"fetch Go {_GO_FOR_TOXIPROXY} as a module, and with it {install}", build_toxiproxy), rename)
    return (install, rename)


def _apt_install(packages: Iterable[str]) -> Step:
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    return Step(f"install {', '.join(packages)}", command, _APT)


FIXES: Mapping[str, Fix] = {
    "docker": Fix(("docker.io", "iptables", "nftables", "iproute2", "ca-certificates"), _docker),
    "image": Fix(("mmdebstrap",), _image, after=("docker",)),
    "strace": Fix(("strace",)),
    "node": Fix(("nodejs",)),
    "faketime": Fix(("libfaketime",)),
    "redis-server": Fix(("redis-server",), _redis),
    "chromium": Fix((), _chromium),
    "toxiproxy-server": Fix(("ca-certificates",), _toxiproxy),
}
"""How each capability is got, in the order in which that works. What is not here is for a person to do."""


def plan(names: Sequence[str], machine: Machine) -> tuple[Step, ...]:
    """Return the steps that get the capabilities named: packages first, then each one's own, in the table's order."""
    fixes = [fix for name, fix in FIXES.items() if name in names]
    packages = dict.fromkeys(package for fix in fixes for package in fix.packages)
    steps = [step for fix in fixes for step in fix.steps(machine)]
    uses_apt = packages or any(isinstance(step.act, tuple) and step.act[0] == "apt-get" for step in steps)
    update = [Step("read what packages there are", ("apt-get", "update", "--quiet"))] if uses_apt else []
    return (*update, *([_apt_install(packages)] if packages else []), *steps)


def take(step: Step, tell: Tell) -> None:
    """Take one step. Raises `EnvironmentLacks` with the last lines of what a failed command said."""
    tell(step.title, 0.0)
    if callable(step.act):
        step.act(tell)
    else:
        _run(step.act, {**os.environ, **step.environment})


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
    except OSError as error:
        raise EnvironmentLacks("doctor", f"`{shown}`: {error.strerror}", f"install {command[0]}") from error
    if done.returncode:
        last = "\n    ".join(done.stdout.strip().splitlines()[-_SHOWN_LINES:])
        reason = f"`{shown}` ended with status {done.returncode}:\n    {last}\n"
        raise EnvironmentLacks("doctor", reason, "put right what it says, then `bigfive doctor --fix` again")
    return done.stdout


def start_dockerd(tell: Tell) -> None:
    """Start an engine on the default socket, unless one answers there, and wait until it does.

    It is nobody's child and outlives us; its log and its pid are in the state directory and in /var/run/docker.pid.
    """
    address = Address(DEFAULT_URL)
    if _answers(address):
        return
    log = state_directory() / "dockerd.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BIGFIVE_")}
        engine = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True, env=environment
        )
    try:
        until(lambda: engine.poll() is not None or _answers(address), "dockerd to answer", _ENGINE_PATIENCE_S)
    except TimedOut as error:
        engine.send_signal(signal.SIGTERM)
        raise EnvironmentLacks("docker", f"{error}{_tail(log)}", f"read {log}") from error
    if engine.poll() is not None:
        raise EnvironmentLacks("docker", f"dockerd ended with status {engine.returncode}{_tail(log)}", f"read {log}")
    tell("dockerd answers", 1.0)


def _answers(address: Address) -> bool:
    try:
        return wires.ask(address, "/_ping", 1.0).status == 200  # noqa: PLR2004  HTTP's OK
    except OSError:
        return False


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-_SHOWN_LINES:]
    return "".join(f"\n    {line}" for line in lines) + "\n"


def _make_image(tell: Tell) -> None:
    from harness.containers import image  # noqa: PLC0415  brings the SDK: not for a mere table
    from harness.containers.engine import Engine  # noqa: PLC0415

    with Engine.connect(patience_s=_ENGINE_PATIENCE_S) as engine:
        image.make(engine, tell)


def build_toxiproxy(tell: Tell) -> None:
    """Build it with a Go that may be too old for it: such a one can still fetch its successor, as a module."""
    environment = {**os.environ, "GOBIN": str(doctor.own_programs()), "GOTOOLCHAIN": "auto"}
    version = _go_version()
    if version is not None and version >= _GO_THAT_FETCHES_ITS_SUCCESSOR:
        _run(("go", "install", TOXIPROXY), environment)
        return
    with tempfile.TemporaryDirectory(prefix="bigfive-go-") as folder:
        environment |= {"GOMODCACHE": folder, "GOFLAGS": "-modcacherw"}
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        module = f"golang.org/toolchain@v0.0.1-go{_GO_FOR_TOXIPROXY}.linux-{machine}"
        _run(("go", "mod", "download", module), environment)
        tell("building toxiproxy", 0.5)
        newer = Path(folder) / module
        for program in (*(newer / "bin").iterdir(), *(newer / "pkg" / "tool").rglob("*")):
            program.chmod(0o755)  # a module's files are not programs, says the older Go
        environment |= {"GOROOT": str(newer), "GOTOOLCHAIN": "local"}
        _run((str(newer / "bin" / "go"), "install", TOXIPROXY), environment)


def _go_version() -> tuple[int, int] | None:
    if shutil.which("go") is None:
        return None
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def chosen(names: Sequence[str]) -> list[Capability]:
    """Return the capabilities to look at: those named and what they come after, else all that have a fix."""
    wanted = [each for name in names or FIXES for each in (*FIXES.get(name, Fix()).after, name)]
    return [CAPABILITIES[name] for name in dict.fromkeys(wanted)]
