"""Settings: one tree, every fault told at start, no secret told ever."""

from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.settings import load_settings, secret


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cel2crm.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_environment_goes_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "kafka: {bootstrap_servers: file:1, partitions: 3}\n")
    monkeypatch.setenv("CEL2CRM_KAFKA__BOOTSTRAP_SERVERS", "environment:2")
    kafka = load_settings(path).kafka
    assert (kafka.bootstrap_servers, kafka.partitions) == ("environment:2", 3)


def test_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CEL2CRM_SETTINGS", str(written(tmp_path, "pbx: {name: branch2}\n")))
    assert load_settings().pbx.name == "branch2"


def test_the_old_name_of_the_extra_alias_stays(tmp_path: Path) -> None:
    path = written(tmp_path, "database: {column_name_aliases: {cel_extra: id}}\n")
    assert load_settings(path).database.column_name_aliases == {"cel_extra": "id"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kafka: {bootstrap: x}\n", "kafka.bootstrap"),
        ("kafak: {}\n", "kafak"),
        ("kafka: {partitions: 0}\n", "kafka.partitions"),
        ("pbx: {timezone: Moscow}\n", "such as Europe/Moscow"),
        ("database: {column_name_aliases: {extra: id}}\n", "allowed: cel_appdata"),
        ("portals: [{name: a, crm: salesforce}]\n", "portals[a].crm"),
        ("portals: [{name: a, crm: kommo, deliver_from: 2026-11-23}]\n", "portals[a].deliver_from"),
        ("kafka: {bootstrap_servers: 'kafka:99999'}\n", "'kafka:99999' is not host:port with a port from 1 to 65535"),
        ("kafka: {bootstrap_servers: 'kafka:9092,:9092'}\n", "':9092' is not host:port"),
        ("kafka: {bootstrap_servers: 'kafka:nine'}\n", "'kafka:nine' is not host:port"),
        ("numbers: {region: XX}\n", "'XX' is not an ISO country with phone numbers, such as RU, DE or US"),
        ("numbers: {region: ru}\n", "'ru' is not an ISO country"),
        ("worker: {session_timeout_seconds: 100000}\n", "worker.session_timeout_seconds: Input should be less than"),
        ("worker: {metrics_port: 99999}\n", "worker.metrics_port"),
        ("aggregate: {quiet_seconds: 1.0e+300}\n", "aggregate.quiet_seconds: Input should be less than"),
        ("aggregate: {grace_seconds: .inf}\n", "aggregate.grace_seconds: Input should be a finite number"),
        ("aggregate: {flush_seconds: .nan}\n", "aggregate.flush_seconds: Input should be a finite number"),
        ("aggregate: {time_limit_seconds: .inf}\n", "aggregate.time_limit_seconds: Input should be a finite number"),
        ("aggregate: {settle_seconds: 61}\n", "aggregate.settle_seconds: Input should be less than"),
        ("portals: [{name: a, crm: kommo, deadline_hours: .inf}]\n", "deadline_hours: Input should be a finite number"),
        ("portals: [{name: a, crm: kommo}, {name: a, crm: bitrix24}]\n", "two portals are named a, at kommo and at b"),
        ("- 1\n", "must hold sections"),
        ("a: [\n", "not valid YAML"),
        ("kafka: {bootstrap_server: x}\n", "yaml:1: kafka.bootstrap_server: there is no such setting; did you mean "),
        ("pbx: {name: a}\nkafaka: {}\n", "yaml:2: kafaka: there is no such setting; did you mean kafka?"),
        ("logging: {x: 1}\n", "logging.x: there is no such setting; known here: format, level, mask_numbers"),
        ("numbers:\n  trunks: sipnet\n", "yaml:2: numbers.trunks: must be a list, in brackets: trunks: [..]"),
        ("portals: [{name: Main, crm: kommo}]\n", "portals[Main].name: may have lower case letters (a to z), digits, "),
        ("portals:\n- {name: a, crm: kommo, user: {}}\n", "yaml:2: portals[a].user: there is no such setting; did you"),
        ("portals: [{name: a, crm: kommo, url: 12}]\n", "portals[a].url: must be text: put it in quotes"),
        ("kafka: 3\n", "kafka: must hold settings of its own"),
        ("kafka:\n  partitions: 6\n retention_days: 3\n", "yaml:3: not valid YAML: "),
        ("kafka: {}\npbx: {}\nkafka: {}\n", "yaml:3: kafka stands there a second time"),
        ("kafka:\n  bootstrap_servers:x\n", "kafka: must hold settings of its own"),
    ],
)
def test_bad_setting_is_told_with_its_path(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(written(tmp_path, text))
    assert told in str(refused.value)


@pytest.mark.parametrize("servers", ["kafka", "[::1]:9092", "a:1, b.example.com:65535"])
def test_brokers_that_a_client_can_use_are_accepted(tmp_path: Path, servers: str) -> None:
    path = written(tmp_path, f"kafka: {{bootstrap_servers: '{servers}'}}\n")
    assert load_settings(path).kafka.bootstrap_servers == servers


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(written(tmp_path, "kafka: {partitions: no}\nnumbers: {internal_digits: 99}\n"))
    assert "kafka.partitions" in str(refused.value)
    assert "numbers.internal_digits" in str(refused.value)


def test_what_everybody_writes_for_extensions_and_people_is_taken(tmp_path: Path) -> None:
    text = "portals: [{name: a, crm: kommo, users: {1001: 11, 0101: 12, '0102': 007}, default_user: 1}]\n"
    portal = load_settings(written(tmp_path, text)).portals[0]
    assert portal.users == {"1001": "11", "0101": "12", "0102": "007"}  # never as octal numbers
    assert portal.default_user == "1"


@pytest.mark.parametrize("text", ["kafka: [\nregistry: {password: hunter2", "registry:\n  password: hunter2\n x: [}\n"])
def test_what_stands_around_a_fault_of_yaml_is_not_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(written(tmp_path, text))
    assert "hunter2" not in str(refused.value)


def test_a_fault_of_the_environment_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CEL2CRM_KAFKA__BOOTSTRAP_SERVER", "x")
    with pytest.raises(SettingsError, match=r"\n  kafka\.bootstrap_server: there is no such setting; did you mean"):
        load_settings()


def test_a_secret_is_never_told(tmp_path: Path) -> None:
    path = written(tmp_path, "portals: [{name: a, crm: kommo, token: {x: hunter2}}]\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    assert "hunter2" not in str(refused.value)
    settings = load_settings(written(tmp_path, "portals: [{name: a, crm: kommo, token: hunter2}]\n"))
    assert "hunter2" not in repr(settings)


def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CEL2CRM_KAFAK__BOOTSTRAP_SERVERS", "x")
    with pytest.raises(SettingsError, match="CEL2CRM_KAFAK__BOOTSTRAP_SERVERS"):
        load_settings()


def test_missing_secret_names_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CEL2CRM_DATABASE__PASSWORD"):
        secret(None, None, "database.password")
    with pytest.raises(SettingsError, match="No such file"):
        secret(None, tmp_path / "missing", "database.password")
    (tmp_path / "there").write_text("hunter2\n", encoding="utf-8")
    assert secret(None, tmp_path / "there", "database.password") == "hunter2"


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the settings file"):
        load_settings(tmp_path / "missing.yaml")


def test_a_setting_that_lost_its_effect_is_accepted_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cel2crm.yaml"
    file.write_text("worker: {data_dir: /var/lib/cel2crm}\n", encoding="utf-8")
    load_settings(file)
    assert "worker.data_dir has no effect" in capsys.readouterr().err


def test_the_settings_of_the_version_before_are_accepted() -> None:
    settings = load_settings(Path(__file__).parent / "upgrade" / "v0_1_0" / "settings.yaml")
    assert settings.worker.data_dir is not None and len(settings.portals) == 4
