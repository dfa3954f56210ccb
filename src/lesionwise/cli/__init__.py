"""The command line: a thin layer that reads options, calls a stage and prints.

Here: `main`. One file per group of verbs; heavy imports happen inside the verbs, so that `--help` is quick.
"""

import errno
import signal
import sys
from pathlib import Path
from shutil import disk_usage
from typing import NoReturn

from lesionwise.errors import LesionwiseError, naming_extras
from lesionwise.execution import default_cache_root

_INTERRUPTED = 130  # what shells give for Ctrl-C


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from lesionwise.cli.app import app  # here, so that Ctrl-C while it is imported shows no traceback

        with naming_extras():
            app(prog_name="lesionwise")
    except LesionwiseError as error:
        _end(str(error), error.exit_code)
    except OSError as error:  # a full disk, a folder that may not be written
        _end(_describe(error), LesionwiseError.exit_code)
    except KeyboardInterrupt:
        _stopped()
        sys.exit(_INTERRUPTED)
    except SystemExit as ended:  # which is how typer passes Ctrl-C on
        if ended.code == _INTERRUPTED:
            _stopped()
        raise


def _describe(error: OSError) -> str:
    """Return what the system refused, where, and for a full disk how to continue."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT} or error.filename is None:
        return f"{error.filename or 'writing'}: {error.strerror or error}.{_remedy(error)}"
    disk = Path(error.filename).absolute()
    while not disk.is_mount():
        disk = disk.parent
    return (
        f"{error.filename}: the disk at {disk} is full, {disk_usage(disk).free >> 20} MiB are free. "
        "Make room and run the same command again, with --resume if it has this option. Finished work is "
        "kept."
    )


def _remedy(error: OSError) -> str:
    """Return how to move the cache of images, where that is what could not be written."""
    if not isinstance(error.filename, str):
        return ""
    path, cache = Path(error.filename).absolute(), default_cache_root().absolute()
    if path != cache and path not in cache.parents and cache not in path.parents:
        return ""
    return (
        f" The cache of images goes to {cache}. Set LESIONWISE_CACHE to a folder that can be written, "
        "such as LESIONWISE_CACHE=/tmp/lesionwise."
    )


def _stopped() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not spoil the message
    from lesionwise.cli.console import print_stopped

    print_stopped()


def _end(reason: str, exit_code: int) -> NoReturn:
    from lesionwise.cli.console import print_error

    print_error(reason)
    sys.exit(exit_code)
