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
        ("portals: [{name: a, crm: salesforce}]\n", "portals.0.crm"),
        ("portals: [{name: a, crm: kommo, deliver_from: 2026-11-23}]\n", "portals.0.deliver_from"),
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
