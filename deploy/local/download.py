"""The jars of the stack: fetched with Maven once, kept outside the build folder, shared by all checkouts."""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
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
"""A folder for each set of jars that the stack itself does without, each with its checksums."""
CHECKSUMS = Path(__file__).with_name("jars.sha256")
"""Of each file that Maven brings, as `sha256sum` writes it: `python -m deploy.local.download --write-checksums`."""
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


def jars(say: Callable[[str], None], cache: Path | None = None) -> Path:
    """The folder with kafka/, registry/ and plugins/; downloads it if it is not there. `cache`: the folder it is in.

    A download that was killed is never taken for a complete one, and of two at once the second waits for the first.
    Raises StackError with Maven's own last lines when it fails, and where a file is not the one that it should be.
    """

    def fill(folder: Path) -> None:
        _fetch(folder, say)
        require_checksums(folder, CHECKSUMS)
        _unpack_registry(folder / "registry")
        _declare_converter(folder / "plugins" / "apicurio-converter")

    return _complete(cache or cache_folder(), f"jars-{_fingerprint(POMS)}", fill, say)


def further_jars(name: str, say: Callable[[str], None]) -> Path:
    """The folder with the jars of a set of FURTHER_POMS, downloaded as `jars` does it."""
    poms = FURTHER_POMS / name

    def fill(folder: Path) -> None:
        say(f"downloading the jars of {name} with Maven (once)")
        _copy_dependencies(poms, folder, say)
        require_checksums(folder, poms / CHECKSUMS.name)

    return _complete(cache_folder(), f"{name}-{_fingerprint(poms)}", fill, say)


def _complete(cache: Path, name: str, fill: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    """A folder of the cache, filled under another name where it is not there."""
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


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its name there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def checksums_head(poms: Path = POMS) -> str:
    """The first line of a file of checksums: of which poms it is."""
    return f"# {_fingerprint(poms)}"


def require_checksums(folder: Path, wanted_of: Path) -> None:
    """Raise StackError where what was downloaded is not, file for file, what the file `wanted_of` says."""
    lines = [line for line in wanted_of.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    wanted = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    found = checksums(folder)
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise StackError(
            f"{len(wrong)} of {len(wanted)} downloaded files are not those that {wanted_of.name} names: "
            f"{', '.join(wrong[:3])}.",
            "A mirror may have given something else. Nothing of it is used.",
        )


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
    say("downloading the servers with Maven (about 300 MB, once)")
    _copy_dependencies(POMS, target, say)


def _copy_dependencies(poms: Path, target: Path, say: Callable[[str], None]) -> None:
    """Let Maven bring what the pom.xml there names. Raises StackError."""
    with tempfile.TemporaryDirectory() as scratch:
        # -U: ask again for what an earlier, failed attempt did not get.
        command = [
            *_dying_with_us(),
            "mvn",
            "-B",
            "-U",
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
            f"Maven could not download the servers:\n{tail}",
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


def main() -> None:
    """Download the servers into a folder, and print where they are; or write down what comes."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.download", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="default: the cache")
    parser.add_argument("--write-checksums", action="store_true", help=f"write {CHECKSUMS.name} anew")
    arguments = parser.parse_args()
    if not arguments.write_checksums:
        print(jars(lambda line: print(line, file=sys.stderr), arguments.folder))
        return
    for poms, file in [(POMS, CHECKSUMS), *((each, each / CHECKSUMS.name) for each in sorted(FURTHER_POMS.iterdir()))]:
        with tempfile.TemporaryDirectory() as folder:
            _copy_dependencies(poms, Path(folder), print)
            found = checksums(Path(folder))
        lines = "".join(f"{digest}  {name}\n" for name, digest in found.items())
        file.write_text(f"{checksums_head(poms)}\n{lines}", encoding="utf-8")


if __name__ == "__main__":
    main()
