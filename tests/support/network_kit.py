"""What the tests of task networks share: a host whose outside is ours, and containers that answer and ask."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from harness.waiting import until
from targets.containers import Spec, State
from targets.engine import Engine
from targets.network.networks import TaskNetworks
from targets.network.settings import Settings

ALLOWED, OTHER, METADATA = "198.51.100.10", "203.0.113.1", "169.254.169.254"
UPLINK, BEYOND = "198.18.77.1", "198.18.77.2"
PORT = 9000
PATIENCE_S = 20.0
ANSWER, ASK = (Path(__file__).with_name(f"network_{name}.py").read_text() for name in ("answer", "ask"))
TESTS = Path(tempfile.gettempdir()) / "bigfive-network-tests"
SETTINGS = Settings(
    pool=IPv4Network("10.211.0.0/16"),
    table="bigfive_tests",
    mark=0xB6000000,
    routes=3062,
    preference=110,
    log_group=6,
    folder=TESTS / "claims",
)

TALK = """
import socket, sys
talking = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
talking.recv(100)
talking.settimeout(1.5)
for line in sys.stdin:
    try:
        talking.send(line.strip().encode())
        print(talking.recv(100).decode())
    except TimeoutError:
        print("!")
"""
PING = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
asking.settimeout(1)
asking.sendto(bytes([8, 0, 0, 0, 0, 1, 0, 1]), (sys.argv[1], 0))
asking.recv(100)
"""
RAW = """
import socket, struct, sys
source, target, port, text = sys.argv[1:]
udp = struct.pack("!HHHH", 4242, int(port), 8 + len(text), 0) + text.encode()
head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(udp), 1, 0, 64, 17, 0, *map(socket.inet_aton, (source, target)))
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(head + udp, (target, 0))
"""
HEAR_FRAMES = """
import socket
hearing = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
hearing.settimeout(1.5)
print("ready")
count = 0
try:
    while hearing.recv(100):
        count += 1
except TimeoutError:
    print(count)
"""
SEND_FRAMES = """
import socket
sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sending.bind(("eth0", 0))
for _ in range(5):
    sending.send(b"\\xff" * 6 + sending.getsockname()[4] + b"\\x88\\xb5" + b"x" * 50)
"""

Place = tuple[str, int, str]


def tool(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout


class Lab:
    """The task networks under test, plain containers to compare with, and the outside."""

    def __init__(self, networks: TaskNetworks, engine: Engine, image: str, folder: Path) -> None:
        self.networks = networks
        self.engine = engine
        self.image = image
        self.folder = folder
        self._plain = 0

    def spec(self, name: str, **limits: object) -> Spec:
        command = ["python3", "-c", ANSWER, name, str(PORT)]
        return Spec(image=self.image, command=command, name=name, limits=limits)

    def run(self, task: str, name: str, **limits: object) -> State:
        state = self.networks.run(task, self.spec(name, **limits))
        self._answers(state, name)
        return state

    def plain(self, **limits: object) -> State:
        """Run a container on the engine's default bridge, which reaches everything: the positive control."""
        self._plain += 1
        spec = self.spec(f"plain-{self._plain}", **limits)
        state = self.engine.run(Spec(**{**vars(spec), "network": "bridge"}))
        self._answers(state, spec.name)
        return state

    def _answers(self, state: State, name: str) -> None:
        until(lambda: f"ready {name}" in self.engine.logs(state.id), f"{name} to answer", PATIENCE_S)

    def ask(self, container: State, *places: Place) -> list[str]:
        """Return what each place says to a container; what begins with `!` is silence."""
        status, said = self.engine.execute(container.id, ["python3", "-c", ASK, json.dumps(places)])
        assert status == 0, said
        return list(json.loads(said))

    def pings(self, container: State, address: str) -> bool:
        """Return whether an echo request of a container is answered within a second."""
        return self.engine.execute(container.id, ["python3", "-c", PING, address])[0] == 0

    @contextmanager
    def conversation(self, container: State, address: str) -> Iterator[Callable[[str], str]]:
        """Yield what says a word on one connection from inside, and returns the answer, or `!` after a while."""
        command = ["docker", "exec", "-i", container.id, "python3", "-u", "-c", TALK, address, str(PORT)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talking:
            assert talking.stdin is not None
            assert talking.stdout is not None
            said, heard = talking.stdin, talking.stdout

            def talk(word: str) -> str:
                said.write(f"{word}\n")
                said.flush()
                return heard.readline().strip()

            yield talk
            talking.kill()

    def send_raw(self, container: State, source: str, target: str, text: str) -> None:
        """Send a UDP packet whose source is whatever we say."""
        status, said = self.engine.execute(container.id, ["python3", "-c", RAW, source, target, str(PORT), text])
        assert status == 0, said

    def frames(self, source: State, target: State) -> int:
        """Return how many of the raw broadcast frames that one container sends arrive at another."""
        command = ["docker", "exec", target.id, "python3", "-u", "-c", HEAR_FRAMES]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hearing:
            assert hearing.stdout is not None
            assert hearing.stdout.readline() == "ready\n"
            status, said = self.engine.execute(source.id, ["python3", "-c", SEND_FRAMES])
            assert status == 0, said
            return int(hearing.stdout.readline())

    def heard(self) -> str:
        """Return everything that UDP has brought to the outside."""
        return "".join(path.read_text() for path in self.folder.glob("*.said"))


def address_of(state: State) -> str:
    return next(iter(state.addresses.values()))


def docker_gateway() -> str:
    (link,) = json.loads(tool("ip", "-json", "-4", "address", "show", "dev", "docker0"))
    return str(link["addr_info"][0]["local"])


def both(*addresses: str, port: int = PORT) -> list[Place]:
    return [(address, port, protocol) for address in addresses for protocol in ("tcp", "udp")]


def traces() -> list[str]:
    """Return all that task networks of these settings can leave in the kernel, as the system's own tools show it."""
    rules = [line for line in tool("ip", "-4", "rule").splitlines() if line.startswith(("110:", "111:"))]
    links = [line.split()[0] for line in tool("ip", "-br", "link").splitlines() if line.startswith("bfnet0ad3")]
    tables = [line for line in tool("nft", "list", "tables").splitlines() if SETTINGS.table in line]
    routes = [line for line in tool("ip", "-4", "route", "show", "table", "all").splitlines() if "10.211." in line]
    claims = [path.name for path in SETTINGS.folder.glob("*.json")]
    return rules + links + tables + routes + claims


class Answering:
    """A process that answers at some addresses of a namespace, until the end of the context."""

    def __init__(self, name: str, folder: Path, addresses: Sequence[str], inside: Sequence[str] = ()) -> None:
        self._said = folder / f"{name}.said"
        with self._said.open("w") as said:
            command = [*inside, sys.executable, "-c", ANSWER, name, str(PORT), *addresses]
            self._process = subprocess.Popen(command, stdout=said)

    def __enter__(self) -> None:
        try:
            until(lambda: "ready" in self._said.read_text(), "the servers to answer", PATIENCE_S)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
