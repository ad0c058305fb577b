"""`cel2crm serve-recordings` at the command line: what it serves, and what it says where it cannot."""

import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.ports import free_port
from streams.cli.serve_recordings import serve_recordings
from streams.recordings.links import signed_link
from streams.settings import RecordingSettings
from tests.cli.commands import run

KEY = "k" * 40


def settings(directory: Path, **fields: Any) -> Path:
    (directory / "monitor").mkdir(exist_ok=True)
    key = directory / "key"
    key.touch(0o600)
    key.write_text(KEY, encoding="utf-8")
    entry = {
        "folder": str(directory / "monitor"),
        "file": "{uniqueid}.wav",
        "link": "http://127.0.0.1/rec",
        "link_key_file": str(key),
        **fields,
    }
    path = directory / "settings.yaml"
    path.write_text(yaml.safe_dump({"recordings": [entry]}), encoding="utf-8")
    return path


def test_help_teaches_with_an_example() -> None:
    told = run("serve-recordings", "--help").stdout
    example = (serve_recordings.__doc__ or "").partition("recordings:\n")[2].partition("The delivery workers")[0]
    (entry,) = yaml.safe_load(textwrap.dedent(example))
    assert RecordingSettings.model_validate(entry).link == "https://pbx.example.com/recordings"
    assert "link_key_file" in told and "openssl rand -base64 32" in told and "--pbx" in told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"folder": "/nowhere"}, "recordings.folder: /nowhere is no folder that can be read"),
        ({"link_key_file": "/nowhere/key"}, "cannot read /nowhere/key"),
        ({"file": "../{uniqueid}.wav"}, "leaves its folder"),
        ({"link": None, "send": "file"}, "the settings have no recordings with a link"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_sentence(fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    done = run("serve-recordings", "--settings", str(settings(tmp_path, **fields)))
    assert done.status == 2 and told in done.stderr and "Traceback" not in done.stderr and KEY not in done.stderr


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = settings(tmp_path)
    (tmp_path / "key").chmod(0o644)
    done = run("serve-recordings", "--settings", str(path))
    assert done.status == 2 and "may be read by others (mode 0644)" in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve-recordings", "--settings", str(settings(tmp_path)), "--port", port)
    assert done.status == 2 and f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_the_command_serves_until_it_is_ended(tmp_path: Path) -> None:
    path = settings(tmp_path)
    (tmp_path / "monitor" / "1.2.wav").write_bytes(b"RIFF")
    port = free_port()
    arguments = ["serve-recordings", "--settings", str(path), "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "streams.cli.main", *arguments], stderr=subprocess.PIPE)
    try:
        link = signed_link(f"http://127.0.0.1:{port}/rec", KEY.encode(), "1.2.wav", int(time.time()) + 60)
        assert fetched(link) == b"RIFF"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetched(link.replace("1.2.wav", "1.3.wav"))
        server.terminate()
        assert server.wait(20) == 0
    finally:
        server.kill()
        assert server.stderr is not None
        logged = server.stderr.read().decode()
        server.stderr.close()
        server.wait()
    assert "1.2.wav" in logged and link.split("/")[5] not in logged, "links are secrets"


def fetched(link: str) -> bytes:
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(link, timeout=5) as response:  # noqa: S310
                return bytes(response.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
