"""Run groups of checks, each in a process of its own, and go on when one hangs, dies or eats the memory.

A child tells in JSON lines what it is about to do and what came of it. When a line is not followed by the next one in
time, its process is asked where it stands (a dump of its stack), ended, and the rest is asked in a fresh one.

None outlives the command: SIGTERM and SIGHUP end it as Ctrl-C does, and where it is killed outright, its children see
the other end of their standard input close.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from cs336_lib.check.child.case import CHECKS, CHOICE
from cs336_lib.check.child.jobs import last_lines
from cs336_lib.check.child.runner import CHOSEN, UNANSWERED, WRONG, Answer
from cs336_lib.check.project import Project

START = Path(__file__).parent / "child/start.py"
# A hang costs this much; imports of large packages on a loaded machine take up to half a minute.
LOADING_SECONDS = 90.0
STRIKES = 3  # hangs or deaths in one problem, after which its other checks are left out

ENOUGH = 0.25  # GiB: a process that has so much and ends before it has begun has another reason

Event = dict[str, Any]


class Runs:
    """All child processes of one call of the command.

    Args:
        project: what they run.
        memory_gib: what each may allocate.
        threads: of torch and OpenMP in each child; 0 leaves that to them.
    """

    def __init__(self, project: Project, *, memory_gib: float = 4.0, threads: int = 1) -> None:
        self.project, self.memory_gib, self.threads = project, memory_gib, threads
        self.skip: dict[int, str] = {}  # lines of the adapters that hang or kill
        self.loaded: Event = {}
        self.home = Path(tempfile.mkdtemp(prefix="cs336-check-"))
        self._lock = threading.Lock()
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._doing: dict[int, tuple[Event, float]] = {}  # process -> its last event, and when it came
        self._stopped = False

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def stop(self) -> None:
        """End all processes; groups that are running end with what they have."""
        self._stopped = True
        with self._lock:
            for process in self._alive:
                _kill(process)

    def waiting(self) -> dict[str, float]:
        """What has begun and not returned, a question or a line of the adapters, and for how many seconds."""
        found = {}
        for now, since in list(self._doing.values()):
            name = {"asking": "{name}", "loading": "line {line} of the adapters"}.get(now["event"], "")
            if name:
                found[name.format(**now)] = round(time.monotonic() - since, 1)
        return found

    def checks(self, names: Sequence[str], tell: Callable[[str, Event], None]) -> None:
        """Ask some checks, in order, in as many processes as it takes.

        Args:
            names: of the checks.
            tell: gets "loaded", "asking" and "answer" events as they come.
        """
        remaining, strikes = list(names), Counter[str]()
        why = ""
        while remaining and not self._stopped:
            asked: str | None = None
            before, stumbled = len(remaining), len(self.skip)
            for event in self.events({"task": "check", "checks": remaining}):
                kind = event.pop("event")
                if kind == "asking":
                    asked = event["name"]
                    tell(kind, event)
                elif kind == "answer":
                    asked = None
                    self._note(remaining, strikes, event, tell)
                elif kind == "ended" and event["during"]["event"] == "starting":
                    why = event["why"]
                elif kind == "ended" and asked and not self._stopped:
                    status = CHOSEN if CHECKS[asked].kind == CHOICE else WRONG
                    answer = Answer(asked, status, event["seconds"], got=event["why"], crash=True)
                    answer.given = CHECKS[asked].title
                    self._note(remaining, strikes, answer.as_dict(), tell)
                elif kind == "loaded":
                    tell(kind, event)
            if why or (len(remaining) == before and len(self.skip) == stumbled):
                break  # a start that gets no further than the one before it
        for name in remaining:
            if not self._stopped:
                reason = f"it could not be asked: {why or 'the process ended before'}"
                tell("answer", Answer(name, UNANSWERED, got=reason).as_dict())

    def _note(
        self, remaining: list[str], strikes: Counter[str], answer: Event, tell: Callable[[str, Event], None]
    ) -> None:
        name, problem = answer["name"], answer["name"].split(".")[0]
        if name not in remaining:
            return  # told as not asked, while the process went on with it
        remaining.remove(name)
        tell("answer", answer)
        ended = answer["crash"] and answer["got"].startswith(("no end", "the process"))
        strikes[problem] += ended
        if strikes[problem] >= STRIKES and ended:
            for other in [n for n in remaining if n.split(".")[0] == problem]:
                remaining.remove(other)
                reason = f"not asked: {STRIKES} other checks of this problem hung or ended the process"
                tell("answer", Answer(other, UNANSWERED, got=reason).as_dict())

    def events(self, job: Mapping[str, Any]) -> Iterator[Event]:
        """Start a child on a job and yield what it tells; the last event is "ended", with the reason.

        A line of the adapters that hangs or kills is noted in `skip`; the next start leaves it out.
        """
        trace = Path(tempfile.mkdtemp(dir=self.home)) / "trace"
        trace.touch()
        reader, writer = os.pipe()
        whole = {
            "adapters": str(self.project.adapters),
            "root": str(self.project.root),
            "skip": dict(self.skip),
            "memory_gib": self.memory_gib,
            "trace": str(trace),
            "answers": writer,
            "home": str(self.home),
            **job,
        }
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self.home), "TOKENIZERS_PARALLELISM": "false"}
        if self.threads:
            env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        with self._lock, trace.with_name("errors").open("wb") as errors:
            if self._stopped:
                return
            process = subprocess.Popen(
                [self.project.python, str(START)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(writer,),
                start_new_session=True,
                cwd=self.home,
                env=env,
            )
            self._alive.add(process)
        os.close(writer)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(whole).encode() + b"\n")
                process.stdin.flush()
            yield from self._follow(process, reader, trace)
        finally:
            _kill(process)
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()  # not before: the child ends when it closes
            os.close(reader)
            with self._lock:
                self._alive.discard(process)
            self._doing.pop(process.pid, None)

    def _follow(self, process: subprocess.Popen[bytes], reader: int, trace: Path) -> Iterator[Event]:
        buffer, since = b"", time.monotonic()
        now: Event = {"event": "starting"}
        why = ""
        while True:
            ready, _, _ = select.select([reader], [], [], 0.2)
            if ready:
                data = os.read(reader, 1 << 16)
                if not data:
                    break
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    since, now = time.monotonic(), dict(event)
                    self._doing[process.pid] = now, since
                    if event["event"] == "loaded":
                        self.loaded = self.loaded or dict(event)
                    yield event
                continue
            if process.poll() is not None:
                break
            limit = _limit(now)
            if time.monotonic() - since > limit:
                why = f"no end within {limit:.0f} s{_place(process, trace)}"
                _kill(process)
                break
        seconds = round(time.monotonic() - since, 3)
        if not why:
            why = _why(process)
            said = trace.with_name("errors").read_text(errors="replace").split("\n")
            if now["event"] == "starting" and any(said):
                why += f": {[line for line in said if line][-1]}"
            elif now["event"] == "starting" and self.memory_gib < ENOUGH:
                why = f"--memory {self.memory_gib:g} (GiB) is too little to begin with"
        if now["event"] == "loading" and not self._stopped:
            self.skip[now["line"]] = why
        yield {"event": "ended", "why": why, "seconds": seconds, "during": now}


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, which end a process at once, raise KeyboardInterrupt as Ctrl-C does, in the main thread.

    The message names the signal; a second one is ignored while the children are ended. What somebody else handles or
    ignores (nohup) is left so.
    """
    asked: list[int] = []
    before: dict[int, Any] = {}

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _limit(now: Event) -> float:
    """Seconds that may pass until the next event: more of them while other programs keep the processors busy."""
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    if now["event"] == "asking":
        return (10 + 2 * CHECKS[now["name"]].seconds) * crowd
    return float(now.get("seconds", LOADING_SECONDS)) * crowd


def _place(process: subprocess.Popen[bytes], trace: Path) -> str:
    """Where a process stands, in the reader's code."""
    if not hasattr(signal, "SIGUSR1"):
        return ""
    try:
        process.send_signal(signal.SIGUSR1)
        for _ in range(10):
            time.sleep(0.05)
            place = last_lines(trace.read_text(errors="replace"))
            if place:
                return f" (in {place})"
    except OSError:
        pass
    return ""


def _why(process: subprocess.Popen[bytes]) -> str:
    """How a process ended by itself."""
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        return "the process closed its output"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        hint = {"SIGKILL": " (out of memory?)", "SIGSEGV": " (a crash below Python)"}.get(name, "")
        return f"the process was ended by {name}{hint}"
    return f"the process ended with exit code {code} (os._exit?)"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
