"""The jars of the stack: fetched with Maven once, kept outside the build folder, shared by all checkouts."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.packages import MAVEN, ensure

POMS = Path(__file__).with_name("poms")
FURTHER_POMS = Path(__file__).with_name("further_poms")
"""A folder for each set of jars that the stack itself does without."""
_LAYOUT = b"2"  # rises when this module lays the folder out differently
_CONVERTER_SERVICE = "org.apache.kafka.connect.storage.Converter"
_CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"
_TRANSFERRED = re.compile(r"Downloaded from \S+: \S+ \(([\d.]+) ([kMG]?)B")
_UNITS = {"": 1e-6, "k": 1e-3, "M": 1.0, "G": 1e3}  # megabytes
_PROGRESS_EVERY = 3.0  # seconds
_LOG_LINES = 12


def cache_folder() -> Path:
    """Where everything downloaded is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cel2crm"


def jars(say: Callable[[str], None]) -> Path:
    """The folder with kafka/, registry/ and plugins/; downloads it if it is not there.

    A download that was killed is never taken for a complete one, and of two at once the second waits for the first.
    Raises StackError with Maven's own last lines when it fails.
    """

    def fill(folder: Path) -> None:
        _fetch(folder, say)
        _unpack_registry(folder / "registry")
        _declare_converter(folder / "plugins" / "apicurio-converter")

    return _complete(f"jars-{_fingerprint(POMS)}", fill, say)


def further_jars(name: str, say: Callable[[str], None]) -> Path:
    """The folder with the jars of a set of further_poms, as `jars` downloads those of the stack."""
    pom = FURTHER_POMS / name
    return _complete(f"{name}-{_fingerprint(pom)}", lambda folder: _fetch_further(pom, folder, say), say)


def _complete(name: str, fill: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    """A folder of the cache, filled under another name where it is not there."""
    cache = cache_folder()
    folder = cache / name
    if folder.is_dir():
        return folder
    ensure(MAVEN, say)
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "download.lock", say):
        if folder.is_dir():  # another one has made it meanwhile
            return folder
        for abandoned in cache.glob("partial-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache))
        try:
            fill(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _fingerprint(poms: Path) -> str:
    digest = hashlib.sha256(_LAYOUT)
    for pom in sorted(poms.rglob("pom.xml")):
        digest.update(pom.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _only_one(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is downloading the servers: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(target: Path, say: Callable[[str], None]) -> None:
    say("downloading the servers with Maven (about 270 MB, once)")
    _copy_dependencies(POMS, target, say)


def _fetch_further(pom: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"downloading the jars of {pom.name} with Maven (once)")
    _copy_dependencies(pom, target, say)


def _copy_dependencies(poms: Path, target: Path, say: Callable[[str], None]) -> None:
    """Raises StackError: Maven could not, or what came has another checksum than the repository names."""
    with tempfile.TemporaryDirectory() as scratch:
        # -U: ask again for what an earlier, failed attempt did not get.
        command = [
            *_dying_with_us(),
            "mvn",
            "-B",
            "-U",
            "--strict-checksums",
            "-f",
            str(poms),
            "dependency:copy-dependencies",
            f"-Djars={target}",
        ]
        process = subprocess.Popen(
            command,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            lines = _follow(process, say)
    if process.returncode != 0:
        tail = "\n".join(f"    {line}" for line in lines[-_LOG_LINES:])
        raise StackError(
            f"Maven could not download what {poms.name} names:\n{tail}",
            "Is the network there? A proxy or a mirror goes into ~/.m2/settings.xml. Then try again.",
        )


def _dying_with_us() -> list[str]:
    """A prefix that ends a command with this process: Maven would go on writing where the next download cleans up."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def _follow(process: "subprocess.Popen[str]", say: Callable[[str], None]) -> list[str]:
    """Tell how far the download is, every few seconds; the lines that are no transfers."""
    assert process.stdout is not None
    others: list[str] = []
    files, megabytes, told = 0, 0.0, time.monotonic()
    for line in process.stdout:
        transfer = _TRANSFERRED.search(line)
        if transfer:
            files += 1
            megabytes += float(transfer[1]) * _UNITS[transfer[2]]
        elif "Downloading from" not in line:
            others.append(line.rstrip())
        if time.monotonic() - told >= _PROGRESS_EVERY:
            told = time.monotonic()
            say(f"  {files} files, {megabytes:.0f} MB")
    return others


def _unpack_registry(folder: Path) -> None:
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # Debian 12's Python does not know it yet
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder)  # noqa: S202
    archive.unlink()


def _declare_converter(folder: Path) -> None:
    """Name the converter as a service: its own jars do not, and Connect looks for nothing else (service_load)."""
    with zipfile.ZipFile(folder / "services.jar", "w") as jar:
        jar.writestr(f"META-INF/services/{_CONVERTER_SERVICE}", f"{_CONVERTER}\n")
