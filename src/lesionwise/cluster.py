"""Ray: joining a cluster, or starting one on this machine for the length of a command."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from lesionwise.errors import LesionwiseError, import_extra

ADDRESS: Final = "RAY_ADDRESS"
_OWN: Final = {
    "address": "local",
    "include_dashboard": False,
    "object_store_memory": 256 << 20,  # names and answers go through it, pixels never
    "_node_ip_address": "127.0.0.1",
}


@contextmanager
def joined() -> Iterator[ModuleType]:
    """Yield Ray, connected for the length of the block.

    `RAY_ADDRESS` names a cluster; without it one is started on this machine that listens at loopback, asks
    for a token that this command alone has, shows no dashboard, and ends with the block. A process that is
    connected already stays so. No usage is reported.

    Raises:
        LesionwiseError: If no cluster answers there.
    """
    address = os.environ.get(ADDRESS)
    ray = _import_ray(own=not address)
    if ray.is_initialized():
        yield ray
        return
    how = {"address": address} if address else _OWN
    try:
        ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:  # RuntimeError: another version of Ray
        place = f"{ADDRESS}={address}" if address else "this machine"
        reason = str(error).strip().partition("\n")[0]
        raise LesionwiseError(f"{place}: no Ray cluster can be joined or started there: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _import_ray(*, own: bool) -> ModuleType:
    """Import Ray with the settings that it reads on import; the processes that it starts read them, too."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it Ray warns about GPUs
    if own:
        # Despite its name, this makes Ray listen only at loopback on Linux, too.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return import_extra("ray")
