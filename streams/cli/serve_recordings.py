"""`cel2crm serve-recordings`: recordings by signed, expiring links."""

from typing import Annotated

import structlog
import typer

from streams.cli.options import SettingsOption
from streams.errors import SettingsError, UserError
from streams.settings import RecordingSettings, Settings, load_settings
from streams.settings.values import MOST_PORT

_log = structlog.get_logger("recordings")


def serve_recordings(
    pbx: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The PBX whose recordings are here, where the settings have several."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=MOST_PORT, help="Port to listen on.")] = 8088,
    settings_file: SettingsOption = None,
) -> None:
    """Serve call recordings by signed links that expire, until SIGTERM.

    For PBXs whose recordings no CRM can reach: run it where the files are, behind a web server
    with TLS. `recordings:` in the settings says where the files are, where the outside reaches
    this server, and which file holds the key that signs:

        recordings:
          - folder: /var/spool/asterisk/monitor
            file: "{year}/{month}/{day}/{uniqueid}.wav"
            link: https://pbx.example.com/recordings
            link_key_file: /etc/cel2crm/recordings.key

    The delivery workers, with the same settings and key, give CRMs links such as
    https://pbx.example.com/recordings/1827025970/(signature)/2026/11/22/1795389970.80.wav.
    Only plain files below the folder whose names end as recordings' do are served; no folder is
    listed, and no symbolic link is followed. docs/recordings.md has the rest.

    Examples:

        openssl rand -base64 32 > recordings.key; chmod 600 recordings.key

        cel2crm serve-recordings --settings settings.yaml

        cel2crm serve-recordings --pbx office --host 0.0.0.0 --port 8088
    """
    settings = load_settings(settings_file)
    served = recordings_to_serve(settings, pbx)
    # aiohttp and the links: not for every other command.
    from aiohttp import web

    from streams.kafka import logs
    from streams.recordings.links import signing_keys
    from streams.recordings.server import RecordingServer

    folder = served.folder
    if folder is None or not folder.is_dir():
        raise SettingsError(f"recordings.folder: {folder} is no folder that can be read", "Run this where it is.")
    logs.configure(settings.logging)
    application = RecordingServer(folder, signing_keys(served), served.link or "").application()
    _log.info("serving recordings", folder=str(folder), host=host, port=port, link=served.link)
    try:
        web.run_app(application, host=host, port=port, access_log=None, print=None)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", "Choose others with --host and --port."
        ) from None


def recordings_to_serve(settings: Settings, pbx: str | None) -> RecordingSettings:
    """The entry of the settings to serve. Raises SettingsError."""
    linked = [each for each in settings.recordings if each.link is not None]
    fitting = [each for each in linked if pbx is None or not each.pbxs or pbx in each.pbxs]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        of = f" of PBX {pbx}" if pbx else ""
        raise SettingsError(
            f"the settings have no recordings{of} with a link",
            "Set recordings[].folder, file, link and link_key_file (cel2crm serve-recordings --help).",
        )
    names = ", ".join(name for each in fitting for name in each.pbxs or ("all",))
    raise SettingsError(f"the settings have {len(fitting)} recordings with a link", f"Choose with --pbx: {names}.")
