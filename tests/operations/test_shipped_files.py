"""What comes with the product is found, printed and copied by the names that docs use."""

from pathlib import Path

import pytest

from streams.errors import UserError
from streams.operations.shipped_files import SHIPPED, chosen, copy_files, groups, only_one, shipped_files
from streams.settings import load_settings
from tests.cli.commands import run


def test_every_file_is_there_once_and_is_text() -> None:
    files = shipped_files()
    assert len({file.name for file in files}) == len(files)
    assert all(file.path.read_text(encoding="utf-8") for file in files)
    assert set(groups()) <= {group for group, _, _ in SHIPPED}


def test_no_code_is_shipped_as_a_file() -> None:
    assert not [file.name for file in shipped_files() if file.name.endswith((".py", ".pyc"))]


def test_files_are_named_by_group_folder_name_or_end_of_it() -> None:
    capture = chosen(["connectors/mariadb/capture_user.sql"])
    assert chosen(["mariadb/capture_user.sql"]) == capture
    assert set(capture) < set(chosen(["connectors"]))
    assert set(capture) < set(chosen(["capture"]))
    assert chosen([]) == shipped_files()
    with pytest.raises(UserError, match="no file or group is called nothing"):
        chosen(["capture", "nothing"])
    with pytest.raises(UserError, match="may be any of"):
        only_one("kafka")


def test_copies_never_overwrite_what_differs_unless_told(tmp_path: Path) -> None:
    files = chosen(["samples"])
    first, *_ = copies = copy_files(files, tmp_path, overwrite=False)
    assert [copy.read_bytes() for copy in copies] == [file.path.read_bytes() for file in files]
    copy_files(files, tmp_path, overwrite=False)  # the same again: nothing to lose
    first.write_text("mine", encoding="utf-8")
    (tmp_path / files[-1].name).unlink() if len(files) > 1 else None
    with pytest.raises(UserError, match="is there already, and differs"):
        copy_files(files, tmp_path, overwrite=False)
    assert first.read_text(encoding="utf-8") == "mine"
    copy_files(files, tmp_path, overwrite=True)
    assert first.read_bytes() == files[0].path.read_bytes()


def test_the_command_lists_prints_and_copies(tmp_path: Path) -> None:
    assert "  connectors/mariadb/capture_user.sql\n" in run("files").stdout
    assert run("files", "list", "--json", "samples").stdout.count('"group":"samples"') == len(chosen(["samples"]))
    printed = run("files", "print", "connectors/mariadb/capture_user.sql").stdout
    assert printed == chosen(["connectors/mariadb/capture_user.sql"])[0].path.read_text(encoding="utf-8")
    copied = run("files", "copy", "samples", "--to", str(tmp_path)).stdout.splitlines()
    assert all(Path(line).is_file() for line in copied)
    assert run("files", "print", "nothing").status == 2


def test_the_sample_settings_are_settings() -> None:
    settings = load_settings(only_one("deploy/samples/cel2crm.yaml").path)
    assert [portal.name for portal in settings.portals] == ["kommo"]
