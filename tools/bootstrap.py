"""Make the project's virtual environment, or do nothing when it is already right.

Run by `make`; needs only a Python of the supported range. The environment is complete when a stamp inside it holds
the digest of everything that defines it (pyproject.toml, constraints.txt, the interpreter), and the stamp is written
last: an install that is interrupted at any moment is simply continued by the next call.

    python tools/bootstrap.py [--venv .venv] [--extras dev] [--newest]
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Max retries exceeded|ProxyError|ConnectTimeout|ReadTimeout"
)
NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
NO_SPACE = re.compile(r"No space left on device")


class SetupError(Exception):
    """A failure that has one clear line for the user."""


def environment_python(venv: Path) -> Path:
    """Return the interpreter inside `venv` (POSIX and Windows layouts differ)."""
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def digest(extras: str, newest: bool = False) -> str:
    """Digest of all that decides what the environment must hold."""
    state = hashlib.sha256()
    for part in (sys.version, str(ROOT), extras, str(newest)):
        state.update(part.encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS):
        state.update(path.read_bytes())
    return state.hexdigest()


def check_writable(folder: Path) -> None:
    """Raise SetupError unless files can be made in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SetupError(
            f"cannot write in {folder} ({error.strerror}): copy the repository to a folder you own, "
            "or name another place: make VENV=/some/folder/venv OUT=/some/folder ..."
        ) from error


def same_version(python: Path) -> bool:
    """Tell whether `python` runs and is the version that runs this script."""
    probe = [str(python), "-c", "import sys, pip; print(sys.version)"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == sys.version


def make_venv(venv: Path) -> None:
    """Create `venv`, replacing a broken one or one of another Python version."""
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        hint = " (on Debian and Ubuntu: install python3-venv)" if "ensurepip" in done.stdout + done.stderr else ""
        raise SetupError(f"python -m venv failed{hint}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def explain(log: str) -> str:
    """Turn pip's output into the one line a user needs."""
    if NO_NETWORK.search(log):
        return (
            "no network: pip could not reach the package index. Check the connection, then run the same command again."
        )
    if NO_SPACE.search(log):
        return "the disk is full: the environment needs about 3 GB. Free some space and run the same command again."
    if wheel := NO_WHEEL.search(log):
        return (
            f"there is no {wheel[1]} for Python {sys.version_info.major}.{sys.version_info.minor} on this platform. "
            "Use Python 3.11, 3.12 or 3.13 on 64-bit Linux, macOS (Apple silicon) or Windows: make PYTHON=python3.12"
        )
    lines = [line for line in log.splitlines() if line.strip()]
    last = [line for line in lines if line.lstrip().startswith("ERROR")][:3] or lines[-3:]
    return "pip failed:\n    " + "\n    ".join(last)


def pip_install(python: Path, what: list[str], title: str) -> None:
    """Run one pip install, with a line that moves; raise SetupError with a clear line when it fails."""
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--retries",
        "2",
        "--progress-bar",
        "off",
    ]
    command += what
    log: list[str] = []
    seen = 0
    started = time.perf_counter()
    tty = sys.stdout.isatty()
    if not tty:
        print(f"  {title} ...", flush=True)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            seen += line.startswith(("Collecting", "Requirement already"))
            if tty:
                stage = "installing" if line.startswith("Installing") else f"{seen} packages found"
                print(f"\r  {title}: {stage}, {time.perf_counter() - started:.0f} s ", end="", flush=True)
    if tty:
        print()
    if process.returncode != 0:
        raise SetupError(explain("".join(log)))


def uv_install(python: Path, what: list[str], title: str) -> bool:
    """Install with uv, which takes a tenth of pip's time; False where it can't be had or fails, and pip must do it.

    It is put into the environment itself. PyTorch is never its job: pip's settings decide which build that is.
    """
    pin = re.search(r"^uv==\S+", CONSTRAINTS.read_text(), re.MULTILINE)
    quiet = ["--quiet", "--disable-pip-version-check", "--retries", "1"]
    fetch = [str(python), "-m", "pip", "install", *quiet, pin[0] if pin else "uv"]
    if subprocess.run(fetch, cwd=ROOT, capture_output=True, check=False).returncode != 0:
        return False
    print(f"  {title}, by uv ...", flush=True)
    command = [str(python), "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        print(f"  uv failed ({last}); pip takes over", flush=True)
    return done.returncode == 0


def setup(venv: Path, extras: str, newest: bool = False) -> None:
    """Bring `venv` into the state that pyproject.toml and constraints.txt describe."""
    stamp = venv / ".complete"
    wanted = digest(extras, newest)
    python = environment_python(venv)
    try:
        if stamp.read_text() == wanted and python.exists():
            return
    except OSError:
        pass
    check_writable(venv.parent)
    started = time.perf_counter()
    print(f"Setting up {venv} with Python {sys.version.split()[0]} (once; one to five minutes)", flush=True)
    stamp.unlink(missing_ok=True)
    if not same_version(python):
        make_venv(venv)
    torch = re.search(r"^torch==\S+", CONSTRAINTS.read_text(), re.MULTILINE)
    assert torch is not None, "constraints.txt pins torch"
    pins = [] if newest else ["-c", str(CONSTRAINTS)]
    # What is imported compiles itself then; to compile all of torch now would take longer than to download it.
    pip_install(python, [*pins, "--no-compile", "torch" if newest else torch[0]], "PyTorch")
    rest = [*pins, "-e", f".[{extras}]"]
    if not uv_install(python, ["--upgrade", *rest] if newest else rest, "everything else"):
        pip_install(python, rest, "everything else")
    stamp.write_text(wanted)
    seconds = time.perf_counter() - started
    print(
        f"Environment ready after {seconds:.0f} s; `source {python.parent / 'activate'}` for the command cs336",
        flush=True,
    )


def main() -> int:
    """Command line; exit status 1 with one line on any failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="where the environment lives (default .venv)")
    parser.add_argument("--extras", default="dev", help="which extras of pyproject.toml to install (default dev)")
    parser.add_argument("--newest", action="store_true", help="take the newest packages, not those of constraints.txt")
    arguments = parser.parse_args()
    try:
        setup((ROOT / arguments.venv).absolute(), arguments.extras, arguments.newest)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
