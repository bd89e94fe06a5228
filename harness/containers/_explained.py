"""Errors of an engine as people need them: absent, too old, slow, restarting, out of room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.containers.address import Address
from harness.errors import BigfiveError, EngineFailed, EnvironmentLacks

_FULL = ("no space left on device", "disk quota exceeded")
_AWAY = (502, 503, 504)
_FIX = "bigfive doctor --fix docker; or point DOCKER_HOST at an engine that answers"


def absent(address: Address, reason: object) -> EnvironmentLacks:
    """Return the error for an engine that does not answer."""
    if isinstance(reason, PermissionError):
        return EnvironmentLacks("docker", f"{address} is not ours to open", "join the group `docker`, or run as root")
    return EnvironmentLacks("docker", f"no engine answers at {address}: {reason}", _FIX)


def too_old(address: Address, api: str, least: str) -> EnvironmentLacks:
    """Return the error for an engine from before what we need."""
    reason = f"the engine at {address} speaks API {api}, and {least} is the oldest that will do"
    return EnvironmentLacks("docker", reason, "upgrade it to Docker Engine 20.10 or newer")


@contextmanager
def explained(address: Address, what: str, patience_s: float) -> Iterator[None]:
    """Turn what the SDK raises while doing `what` into `EngineFailed` or `EnvironmentLacks`; `NotFound` into `Gone`."""
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound  # noqa: PLC0415  200 ms: only when used
    from requests.exceptions import RequestException  # noqa: PLC0415  the SDK brings it

    try:
        yield
    except ImageNotFound as error:
        reason = f"{address} has no such image ({_said(error)})"
        raise EnvironmentLacks("image", reason, "bigfive doctor --fix image") from error
    except NotFound as error:
        raise Gone(f"cannot {what}: {_said(error)}", kind="gone") from error
    except APIError as error:
        raise _of_answer(address, what, error.status_code, _said(error)) from error
    except (RequestException, DockerException, OSError) as error:
        raise _of_silence(address, what, patience_s, error) from error


class Gone(EngineFailed):
    """What was asked about does not exist (any more)."""


def _of_answer(address: Address, what: str, status: int | None, said: str) -> BigfiveError:
    if any(words in said.lower() for words in _FULL):
        full = (
            f"the disk of the engine at {address} is full, so it cannot {what} ({said}): `docker system df` shows why"
        )
        return EngineFailed(full, kind="full")
    if status in _AWAY:
        return EngineFailed(f"the engine at {address} is restarting, so it cannot {what}: {said}", kind="away")
    return EngineFailed(f"the engine at {address} refused to {what}: {status}: {said}", kind="refused")


def _of_silence(address: Address, what: str, patience_s: float, error: Exception) -> EngineFailed:
    if "timed out" in str(error).lower():  # the SDK has three classes for it
        slow = f"the engine at {address} did not {what} within {patience_s:g} s: it is slow or hangs; look at its log"
        return EngineFailed(slow, kind="slow")
    away = f"the engine at {address} went away while it was to {what} ({error}): it has died or is restarting"
    return EngineFailed(away, kind="away")


def _said(error: object) -> str:
    return str(getattr(error, "explanation", "") or error).strip()
