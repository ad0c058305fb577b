"""cel2crm-server: units are hardened, an installation below a root is whole, and goes without a trace.

That it works under systemd: tests/deploy/server.
"""

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import connectors
from deploy.local import StackError
from deploy.server import installer
from deploy.server.__main__ import _work
from deploy.server.capture_user import capture_user
from deploy.server.files import ours
from deploy.server.layout import PORTS, Layout, require_reachable
from deploy.server.units import SERVERS, TARGET, commands, services, unit, units, users
from streams.errors import UserError
from streams.settings import Settings, load_settings

MOST_EXPOSURE = 3.0  # of 10
Tell = Callable[[str], None]


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """Servers that were downloaded elsewhere."""
    folder = tmp_path / "elsewhere" / "jars-0123"
    (folder / "kafka").mkdir(parents=True)
    (folder / "kafka" / "broker.jar").write_text("jar")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Where the programs of the units are, so that systemd-analyze finds them."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    for name in ("cel2crm", "cel2crm-server"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return programs.parent


def silent(_: str) -> None:
    """Nobody listens."""


def installed(root: Path, jars: Path, environment: Path) -> Layout:
    return installer.install(Layout(root, environment=environment), silent, jars)


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("apart", [False, True])
def test_systemd_understands_the_units_and_rates_each_below_three(
    tmp_path: Path, environment: Path, apart: bool
) -> None:
    layout = Layout(environment=environment, jars=tmp_path, cluster="c", apart=apart)
    for name, text in units(layout).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    names = list(units(layout))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *(f"./{name}" for name in names)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in verified.stderr.splitlines() if "cel2crm" in line] == []
    rated_services = [f"./{name}" for name in names if name != TARGET]
    for service in rated_services:
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        limit = [f"--threshold={round(MOST_EXPOSURE * 10)}"]
        rated = subprocess.run([*command, *limit, service], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert rated.returncode == 0, rated.stdout.splitlines()[-1]
    assert len(rated_services) == len(services(layout))


@pytest.mark.parametrize("apart", [False, True])
def test_every_service_has_a_user_of_the_installation_and_a_limit_of_memory(tmp_path: Path, apart: bool) -> None:
    layout = Layout(tmp_path, apart=apart)
    for name, text in units(layout).items():
        if name != TARGET:
            lines = dict(line.partition("=")[::2] for line in text.splitlines())
            assert lines["User"] in users()
            assert lines["NoNewPrivileges"] == "yes"
            assert "MemoryMax" in lines or name == unit("apply")
        else:
            assert all(unit(service) in text for service in services(layout))


def test_a_server_is_formatted_started_and_waited_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path, cluster="abc", ports={**PORTS, "kafka": 19092})
    steps = commands(layout, "kafka")
    assert "--cluster-id=abc" in steps["ExecStartPre"][0]
    assert "--ignore-formatted" in steps["ExecStartPre"][0]
    assert steps["ExecStart"][0][-2:] == ["kafka.Kafka", str(tmp_path / "etc/cel2crm/servers/kafka.properties")]
    for server in SERVERS:
        assert commands(layout, server)["ExecStartPost"][0][1:5] == ["--root", str(tmp_path), "wait", server]


def executed(layout: Layout, name: str) -> list[str]:
    """The words of a unit's command, less the program's folder."""
    (line,) = [each for each in units(layout)[unit(name)].splitlines() if each.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=").replace(f"{layout.program}/", "").split()


def test_one_process_judges_delivers_and_watches_unless_each_is_to_be_a_unit(tmp_path: Path) -> None:
    root = ["--root", str(tmp_path)]
    together, apart = Layout(tmp_path), Layout(tmp_path, apart=True)
    assert executed(together, "workers") == ["cel2crm-server", *root, "work"]
    assert executed(apart, "aggregate") == ["cel2crm", "worker", "aggregate"]
    assert executed(apart, "deliver") == ["cel2crm-server", *root, "deliver"]
    assert executed(apart, "watch") == ["cel2crm", "connectors", "watch"]
    assert set(units(together)) ^ set(units(apart)) == {
        unit(name) for name in ("workers", "aggregate", "deliver", "watch")
    }


@pytest.mark.parametrize("apart", [False, True])
def test_how_workers_run_is_kept_by_an_upgrade(tmp_path: Path, jars: Path, environment: Path, apart: bool) -> None:
    root = tmp_path / "root"
    before = installer.install(Layout(root, environment=environment, apart=apart), silent, jars)
    after = installer.upgrade(Layout(root, environment=environment), silent, jars)
    assert (before.apart, after.apart) == (apart, apart)


def test_the_record_of_before_there_was_a_choice_is_taken_up(tmp_path: Path, jars: Path, environment: Path) -> None:
    root = tmp_path / "root"
    before = installed(root, jars, environment)
    kept = {name: value for name, value in json.loads(before.record.read_text("utf-8")).items() if name != "apart"}
    before.record.write_text(json.dumps(kept), encoding="utf-8")
    after = installer.upgrade(Layout(root, environment=environment), silent, jars)
    assert after.apart  # each worker was a unit of its own, and the way back finds them


@pytest.mark.parametrize(
    ("command", "portals", "words"),
    [
        ("work", "[]", ["aggregate", "--watch"]),
        ("work", "[{name: a, crm: kommo}, {name: b, crm: kommo}]", ["aggregate", "kommo", "--watch"]),
        ("deliver", "[{name: a, crm: kommo}, {name: b, crm: webhook}]", ["kommo", "webhook"]),
    ],
)
def test_the_workers_are_those_that_the_settings_have_portals_of(
    command: str, portals: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    layout.etc.mkdir(parents=True)
    (layout.etc / "cel2crm.yaml").write_text(f"portals: {portals}\n", encoding="utf-8")
    became: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: became.append(command))
    _work(layout, command)
    assert [each[1:-2] for each in became] == [["worker", *words]]


def test_a_worker_of_no_portal_says_so(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.etc.mkdir(parents=True)
    (layout.etc / "cel2crm.yaml").write_text("portals: []\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no portal"):
        _work(layout, "deliver")


def test_an_installation_below_a_root_is_whole(tmp_path: Path, jars: Path, environment: Path) -> None:
    root = tmp_path / "root"
    layout = installed(root, jars, environment)
    files = tree(root)
    assert {str((layout.units / name).relative_to(root)) for name in units(layout)} <= files
    assert (layout.jars / "kafka/broker.jar").read_text() == "jar"
    assert Layout.of(root) == replace(layout, java=Layout(root).java)
    settings = load_settings(layout.etc / "cel2crm.yaml")
    assert settings.database.password_file == layout.etc / "database-password"
    password = (layout.etc / "database-password").read_text()
    assert f"cel.password={password}\n" == (layout.connect_secrets / "secrets.properties").read_text()
    assert password in (layout.etc / "capture_user.sql").read_text()
    told = [name for name in files if password in (root / name).read_text(encoding="utf-8", errors="ignore")]
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in told}
    assert len(modes) == 3
    assert not any(mode & 0o007 for mode in modes.values())
    properties = (layout.etc / "servers/connect.properties").read_text()
    assert f"config.providers.file.param.allowed.paths={layout.connect_secrets}\n" in properties
    with pytest.raises(StackError, match="an installation already"):
        installed(root, jars, environment)


def test_an_upgrade_leaves_settings_and_identity_alone(tmp_path: Path, jars: Path, environment: Path) -> None:
    root = tmp_path / "root"
    before = installed(root, jars, environment)
    (before.etc / "cel2crm.yaml").write_text("mine", encoding="utf-8")
    newer = jars.rename(jars.with_name("jars-4567"))
    after = installer.upgrade(Layout(root, environment=tmp_path / "next"), silent, newer)
    assert (before.etc / "cel2crm.yaml").read_text(encoding="utf-8") == "mine"
    assert after.cluster == before.cluster
    assert after.jars.name == "jars-4567"
    assert str(tmp_path / "next/bin/cel2crm") in (after.units / unit("workers")).read_text(encoding="utf-8")
    back = installer.upgrade(Layout(root, environment=environment), silent, before.jars)
    assert back == before
    with pytest.raises(StackError, match="no installation"):
        installer.upgrade(Layout(tmp_path / "empty"), silent, jars)


def test_an_upgrade_that_failed_on_its_way_restarts_what_it_owes(
    tmp_path: Path, jars: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    layout = installed(root, jars, environment)

    def fail(layout: Layout, say: Tell) -> None:
        raise StackError("kafka does not answer")

    monkeypatch.setattr(installer, "_remove_former_units", fail)
    with pytest.raises(StackError, match="does not answer"):
        installer.upgrade(Layout(root, environment=tmp_path / "next"), silent, jars)
    assert str(tmp_path / "next") in (layout.units / unit("kafka")).read_text(encoding="utf-8")
    monkeypatch.undo()
    owed = installer._to_restart(replace(layout, environment=tmp_path / "next"))
    assert owed == list(SERVERS)
    after = installer.upgrade(Layout(root, environment=tmp_path / "next"), silent, jars)
    assert installer._to_restart(after) == []


def test_a_unit_that_a_version_no_longer_has_goes_with_its_upgrade(
    tmp_path: Path, jars: Path, environment: Path
) -> None:
    root = tmp_path / "root"
    layout = installed(root, jars, environment)
    former, foreign = layout.units / "cel2crm-former.service", layout.units / "cel2crm-of-mine.service"
    former.write_text((layout.units / unit("workers")).read_text(encoding="utf-8"), encoding="utf-8")
    foreign.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    told: list[str] = []
    installer.upgrade(Layout(root, environment=environment), told.append, jars)
    assert (former.exists(), foreign.exists()) == (False, True)
    assert any("cel2crm-former.service" in line for line in told)


def test_uninstall_leaves_what_it_names_and_purge_nothing(tmp_path: Path, jars: Path, environment: Path) -> None:
    root = tmp_path / "root"
    layout = installed(root, jars, environment)
    told: list[str] = []
    installer.uninstall(layout, told.append, purge=False)
    left = tree(root)
    assert all(name.startswith(("etc/cel2crm/", "opt/cel2crm-servers/", "var/lib/cel2crm/")) for name in left)
    assert "etc/cel2crm/cel2crm.yaml" in left
    assert all(str(root / name) in told[0] for name in ("etc/cel2crm", "opt/cel2crm-servers", "var/lib/cel2crm"))
    again = installed(root, jars, environment)
    assert (again.etc / "database-password").read_text() == (layout.etc / "database-password").read_text()
    installer.uninstall(again, silent, purge=True)
    assert tree(root) == set()


def test_data_that_was_left_keeps_its_identity(tmp_path: Path, jars: Path, environment: Path) -> None:
    root = tmp_path / "root"
    kept = root / "var/lib/cel2crm/kafka/logs/meta.properties"
    kept.parent.mkdir(parents=True)
    kept.write_text("version=1\ncluster.id=of-before\n", encoding="utf-8")
    assert installed(root, jars, environment).cluster == "of-before"


def test_an_environment_that_no_service_may_enter_is_refused() -> None:
    with pytest.raises(StackError, match="no service may look into"):
        require_reachable(Path("/root/venv"))


def test_an_environment_that_a_strict_umask_closed_is_refused(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.server.layout._HIDDEN", ())
    monkeypatch.setattr("deploy.server.layout._way_to", lambda file: [file.parents[1], file.parent, file])
    monkeypatch.setattr("sys.executable", "/usr/bin/env")
    for path in (environment, environment / "bin"):
        path.chmod(0o755)
    require_reachable(environment)
    (environment / "bin").chmod(0o700)
    with pytest.raises(StackError, match=r"bin is closed to other users"):
        require_reachable(environment)


def test_no_file_of_ours_is_a_secret(tmp_path: Path) -> None:
    assert not [file for file in ours(Layout(tmp_path)) if "password=" in file.text]


@pytest.mark.parametrize(
    ("engine", "command", "set_password"),
    [
        ("mariadb", "mariadb <", "ALTER USER 'cel2crm'@'%' IDENTIFIED BY '{}' ACCOUNT UNLOCK;"),
        ("mysql", "mysql <", "ALTER USER 'cel2crm'@'%' IDENTIFIED BY '{}' ACCOUNT UNLOCK;"),
        ("postgresql", "psql -v ON_ERROR_STOP=1 -d asteriskcdrdb -f", "ALTER ROLE cel2crm LOGIN PASSWORD '{}';"),
    ],
)
def test_the_user_of_each_engine_is_made_with_its_own_statements(
    tmp_path: Path, jars: Path, environment: Path, engine: str, command: str, set_password: str
) -> None:
    told: list[str] = []
    layout = installer.install(Layout(tmp_path / "root", environment=environment), told.append, jars, engine)
    assert load_settings(layout.etc / "cel2crm.yaml").database.engine == engine
    made = (layout.etc / "capture_user.sql").read_text(encoding="utf-8")
    password = (layout.etc / "database-password").read_text(encoding="utf-8")
    shipped = (Path(connectors.__file__).parent / engine / "capture_user.sql").read_text(encoding="utf-8")
    # The sample's PBX is called `office`, and so is the slot's end.
    assert made.startswith(shipped.replace("cel2crm_pbx1", "cel2crm_office"))
    assert set_password.format(password) in made.splitlines()
    assert any(line.startswith(f"  {command} {layout.etc}/capture_user.sql") for line in told)


def test_the_user_is_made_anew_with_the_names_that_the_settings_have_by_then(
    tmp_path: Path, jars: Path, environment: Path
) -> None:
    layout = installed(tmp_path / "root", jars, environment)
    settings = layout.etc / "cel2crm.yaml"
    text = settings.read_text(encoding="utf-8")
    changed = text.replace("  user: cel2crm", "  engine: mysql\n  user: reader\n  name: asterisk")
    settings.write_text(changed, encoding="utf-8")
    told: list[str] = []
    installer.write_capture_user(layout, told.append)
    made = (layout.etc / "capture_user.sql").read_text(encoding="utf-8")
    assert "GRANT SELECT ON asterisk.cel TO 'reader'@'%';" in made
    assert "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'reader'@'%';" in made
    assert stat.S_IMODE((layout.etc / "capture_user.sql").stat().st_mode) == 0o600
    assert told == [
        f"  mysql < {layout.etc}/capture_user.sql    # on the PBX's database server, as root; then remove the file"
    ]
    settings.write_text(changed.replace("user: reader", "user: o'reader"), encoding="utf-8")
    with pytest.raises(UserError, match=r"database\.user is .*: the file cannot be made") as caught:
        installer.write_capture_user(layout, told.append)
    assert "cel2crm files print connectors/mysql/capture_user.sql" in caught.value.remedy


def test_names_in_postgresql_and_a_password_of_any_characters() -> None:
    settings = Settings.model_validate(
        {
            "pbx": {"name": "Branch-2"},
            "database": {"engine": "postgresql", "user": "reader", "name": "calls", "table": "asterisk.cel",
                         "publication": "events", "password": "it's \\ 1"},
        }
    )  # fmt: skip
    made = capture_user(settings)
    assert made.command == "psql -v ON_ERROR_STOP=1 -d calls -f"
    statements = "\n".join(line for line in made.statements.splitlines() if not line.startswith("--"))
    for expected in (
        "rolname = 'reader'", "CREATE ROLE reader NOLOGIN", "GRANT SELECT ON asterisk.cel TO reader;",
        "GRANT USAGE ON SCHEMA asterisk TO reader;", "CREATE PUBLICATION events FOR TABLE asterisk.cel",
        "slot_name = 'cel2crm_branch_2'", "ALTER ROLE reader LOGIN PASSWORD E'it''s \\\\ 1';", "ON DATABASE calls TO",
    ):  # fmt: skip
        assert expected in statements, expected
    assert "cel2crm'" not in statements and "asteriskcdrdb" not in statements


def test_an_upgrade_makes_no_user_with_another_password(tmp_path: Path, jars: Path, environment: Path) -> None:
    before = installed(tmp_path / "root", jars, environment)
    password = (before.etc / "database-password").read_text(encoding="utf-8")
    (before.etc / "capture_user.sql").unlink()
    (before.connect_secrets / "secrets.properties").unlink()
    installer.upgrade(Layout(tmp_path / "root", environment=tmp_path / "next"), silent, jars)
    assert not (before.etc / "capture_user.sql").exists()
    kept = (before.connect_secrets / "secrets.properties").read_text(encoding="utf-8")
    assert kept == f"cel.password={password}\n"
