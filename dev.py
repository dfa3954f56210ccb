"""Set up and run lesionwise on a machine that has only Python: `python3 dev.py run` or `python3 dev.py test`.

run    makes .venv, installs the package as pinned, runs `lesionwise run` with the arguments that follow
test   installs the same, runs every check that CI runs; with arguments, pytest with these
"""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
WORKERS = 2  # of pytest; what a file sets up is set up once, and each computes with its share of the cores
CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("lint-imports",),
    ("python", "-m", "pytest", "--numprocesses", str(WORKERS), "--dist", "loadfile"),
)


def main(arguments: list[str]) -> int:
    """Do what the first argument says and return the exit code."""
    if not arguments or arguments[0] not in {"run", "test"}:
        print(__doc__)
        return 2
    check_python()
    verb, *rest = arguments
    install()
    if verb == "run":
        return start("lesionwise", "run", *rest)
    if rest:  # part of the tests, as pytest names it
        return start("python", "-m", "pytest", *rest)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))
    codes = [start(*check) for check in CHECKS]
    return int(any(codes))  # a killed check has a negative code


def check_python() -> None:
    """Leave with the exact remedy if this Python cannot make an environment."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python must be told, not shown a syntax error)
        sys.exit(
            f"Python 3.11 or newer is needed; this is {version}. Your package manager or python.org has it."
        )
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"This Python lacks ensurepip. On Debian or Ubuntu: sudo apt-get install python{version}-venv"
        )


def install() -> None:
    """Install the package with what both verbs need into .venv, unless that was done for these very files."""
    pins = ROOT / "constraints.txt"
    state = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + pins.read_text(encoding="utf-8")
    marker = VENV / "installed.txt"
    if marker.exists() and marker.read_text(encoding="utf-8") == state:
        return
    print("Installing into .venv: at first that takes some minutes and, on Linux, 11 GB of disk.", flush=True)
    venv.create(VENV, with_pip=True, clear=False)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(pins), "--editable", f"{ROOT}[train,dev]"], check=True)
    marker.write_text(state, encoding="utf-8")


def start(command: str, *arguments: str) -> int:
    """Run a program of .venv in the caller's folder and return its exit code."""
    print("$", command, *arguments, flush=True)
    return subprocess.run([str(BIN / command), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
