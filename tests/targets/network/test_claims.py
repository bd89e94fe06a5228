"""Claims: written whole, read by everybody, and one process at a time changes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from targets.network.claims import Claim, Claims, Member
from targets.network.errors import NetworkError

CLAIM = Claim(
    task="one",
    label="run",
    subnet="10.220.0.16/28",
    network="task-one",
    allow=("198.51.100.10:9000",),
    members=(Member(container="a", address="10.220.0.18", mac="02:42:0a:dc:00:12"),),
)
HOLD = """
import sys
from pathlib import Path
from targets.network.claims import Claims
with Claims(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_claim_is_read_as_it_was_written_until_it_is_forgotten(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    claims.save(CLAIM)
    assert Claims(tmp_path).all() == [CLAIM]
    assert (CLAIM.key, CLAIM.bridge, CLAIM.gateway) == ("0adc0010", "bfnet0adc0010", "10.220.0.17")
    claims.forget(CLAIM)
    claims.forget(CLAIM)
    assert claims.all() == []


def test_a_claim_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "0adc0010.json").write_text("{")
    with pytest.raises(NetworkError, match=r"0adc0010\.json is no claim .*move it away"):
        Claims(tmp_path).all()


def test_a_holder_keeps_others_out_and_a_killed_one_does_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(NetworkError, match="another process holds"), Claims(tmp_path).locked(0.05):
            pass
        holder.kill()
        holder.wait()
        with Claims(tmp_path).locked(5.0):
            pass
