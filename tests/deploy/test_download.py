"""Downloads: complete or not there; one at a time; packages named where they cannot be installed."""

import hashlib
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local import StackError, download, packages


def silent(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(packages, "missing", lambda _: [])
    monkeypatch.setattr(download, "_unpack_registry", silent)
    monkeypatch.setattr(download, "_declare_converter", silent)
    checksums = tmp_path / "jars.sha256"
    checksums.write_text("".join(f"{hashlib.sha256(jar).hexdigest()}  kafka/broker.jar\n" for jar in [b"jar"]))
    monkeypatch.setattr(download, "CHECKSUMS", checksums)
    return tmp_path / "cel2crm"


def fetching(content: str, calls: list[str]) -> Callable[[Path, Callable[[str], None]], None]:
    def fetch(target: Path, _: Callable[[str], None]) -> None:
        calls.append(content)
        (target / "kafka").mkdir()
        (target / "kafka" / "broker.jar").write_text(content)

    return fetch


def test_a_second_start_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(download, "_fetch", fetching("jar", calls))
    first = download.jars(silent)
    assert download.jars(silent) == first
    assert (first / "kafka" / "broker.jar").read_text() == "jar"
    assert calls == ["jar"]


def test_a_killed_download_is_not_taken_for_a_complete_one(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "partial-killed" / "kafka").mkdir(parents=True)
    monkeypatch.setattr(download, "_fetch", fetching("jar", []))
    assert (download.jars(silent) / "kafka" / "broker.jar").read_text() == "jar"
    assert not list(own_cache.glob("partial-*"))


def test_the_checksums_are_of_the_versions_in_the_poms() -> None:
    shipped = Path(download.__file__).with_name("jars.sha256").read_text(encoding="utf-8")
    assert shipped.splitlines()[0] == download.checksums_head(), "python -m deploy.local.download --write-checksums"


def test_what_is_not_what_was_written_down_is_not_used(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_fetch", fetching("another jar", []))
    with pytest.raises(StackError, match=r"1 of 1 downloaded files .*: kafka/broker.jar"):
        download.jars(silent)
    assert [path.name for path in own_cache.iterdir()] == ["download.lock"]


def test_a_failed_download_leaves_nothing_behind(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(target: Path, _: Callable[[str], None]) -> None:
        (target / "half.jar").touch()
        raise StackError("no network")

    monkeypatch.setattr(download, "_fetch", broken)
    with pytest.raises(StackError, match="no network"):
        download.jars(silent)
    assert [path.name for path in own_cache.iterdir()] == ["download.lock"]


def test_of_two_downloads_at_once_the_second_waits_and_uses_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    second_waits = threading.Event()
    folders: list[Path] = []

    def slow(target: Path, _: Callable[[str], None]) -> None:
        calls.append("fetch")
        assert second_waits.wait(10)
        fetching("jar", [])(target, silent)

    monkeypatch.setattr(download, "_fetch", slow)
    threads = [
        threading.Thread(target=lambda: folders.append(download.jars(lambda _: second_waits.set()))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert calls == ["fetch"]
    assert len(set(folders)) == 1
    assert len(folders) == 2


def test_other_versions_get_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_fetch", fetching("jar", []))
    first = download.jars(silent)
    poms = tmp_path / "poms"
    poms.mkdir()
    (poms / "pom.xml").write_text("<kafka.version>9.9.9</kafka.version>")
    monkeypatch.setattr(download, "POMS", poms)
    assert download.jars(silent) != first


class TestMavenFails:
    def test_its_last_lines_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "mvn").write_text("#!/bin/sh\necho '[ERROR] Could not resolve host'\nexit 1\n")
        (programs / "mvn").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        with pytest.raises(StackError, match="Could not resolve host"):
            download.jars(silent)


class TestPackages:
    def test_only_those_whose_programs_are_missing_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        assert packages.missing({"sh": ("dash",), "no-such-program": ("one", "two")}) == ["one", "two"]

    def test_who_is_not_root_is_told_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "missing", lambda _: ["maven"])
        monkeypatch.setattr("shutil.which", lambda name, **_: "/usr/bin/apt-get" if name == "apt-get" else None)
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(StackError) as told:
            packages.ensure(packages.MAVEN, silent)
        assert "maven" in told.value.problem
        assert told.value.remedy == "As root: apt-get update && apt-get install maven"

    def test_a_system_without_apt_is_told_the_programs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packages, "missing", lambda _: ["maven"])
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        with pytest.raises(StackError, match="These programs are missing: mvn"):
            packages.ensure(packages.MAVEN, silent)


@pytest.mark.parametrize("poms", sorted(download.FURTHER_POMS.iterdir()), ids=lambda each: str(each.name))
def test_every_further_set_has_the_checksums_of_what_its_pom_names(poms: Path) -> None:
    named = set(
        re.findall(r"<dependency>\s*<groupId>[^<]+</groupId>\s*<artifactId>([^<]+)<", (poms / "pom.xml").read_text())
    )
    head, *lines = (poms / "jars.sha256").read_text().splitlines()
    assert head == download.checksums_head(poms), "python -m deploy.local.download --write-checksums"
    files = [line.split("  ", 1)[1] for line in lines]
    assert named and all(any(f"{name}-" in Path(file).name for file in files) for name in named)


def test_the_lakes_sink_has_nothing_that_connect_itself_brings() -> None:
    _, *lines = (download.FURTHER_POMS / "iceberg" / "jars.sha256").read_text().splitlines()
    names = [Path(line.split("  ", 1)[1]).name for line in lines]
    assert not [name for name in names if name.startswith(("jackson", "kafka-clients", "connect-", "slf4j"))]
