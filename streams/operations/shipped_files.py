"""The files that come with the product for people to read, run or adapt: SQL, declarations, schemas, samples, units.

They stand beside the packages, in a checkout as in an installed environment, under the names that docs use.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from streams.errors import UserError

ROOT = Path(__file__).parents[2]

SHIPPED = (
    ("capture", "the user that reads the PBX's database, and what a connector is given", "connectors/*/*.sql"),
    ("capture", "the user that reads the PBX's database, and what a connector is given", "connectors/*/source.yaml"),
    ("sinks", "tables and views of calls in SQL databases", "connectors/sinks/**/*.sql"),
    ("sinks", "tables and views of calls in SQL databases", "connectors/sinks/**/*.yaml"),
    ("kafka", "topics and rights on the brokers", "connectors/*.yaml"),
    ("schemas", "Avro schemas of what is on the topics", "schemas/*.avsc"),
    ("rules", "results, directions, texts, and the statuses of each CRM", "streams/rules/*.yaml"),
    ("rules", "results, directions, texts, and the statuses of each CRM", "streams/crm/*/*.yaml"),
    ("samples", "settings to begin with", "deploy/samples/*"),
    ("dashboards", "dashboards of Grafana", "deploy/grafana/*.json"),
    ("image", "a container image", "deploy/image/*"),
    ("compose", "a composition for Docker", "deploy/compose/**/*"),
    ("kubernetes", "a Helm chart", "deploy/helm/**/*"),
)
"""Group, what it holds, and which files, below the folder that holds the packages."""

_CODE = {".py", ".pyc"}
_SECONDARY = {"__pycache__", "py.typed"}


@dataclass(frozen=True, slots=True, order=True)
class ShippedFile:
    """One file."""

    group: str
    name: str
    """With slashes, as docs and messages name it: `connectors/mariadb/capture_user.sql`."""

    @property
    def path(self) -> Path:
        """Where it is on this machine."""
        return ROOT / self.name


def shipped_files() -> list[ShippedFile]:
    """All of them, in the order of the groups and by name."""
    files: dict[ShippedFile, None] = {}
    for group, _, pattern in SHIPPED:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and path.suffix not in _CODE and not _SECONDARY & set(path.parts):
                files[ShippedFile(group, path.relative_to(ROOT).as_posix())] = None
    return list(files)


def groups() -> dict[str, str]:
    """Each group that has files, and what it holds."""
    there = {file.group for file in shipped_files()}
    return {group: what for group, what, _ in SHIPPED if group in there}


def chosen(wanted: Sequence[str]) -> list[ShippedFile]:
    """Files by group, name, folder or the end of a name (`capture_user.sql`); all where none is named.

    Raises UserError for what is not there.
    """
    files = shipped_files()
    found: dict[ShippedFile, None] = {}
    for word in wanted:
        name = word.strip("/")
        matching = [
            file
            for file in files
            if name in (file.group, file.name) or file.name.startswith(f"{name}/") or file.name.endswith(f"/{name}")
        ]
        if not matching:
            raise UserError(f"no file or group is called {word}", "cel2crm files shows all of them.")
        found |= dict.fromkeys(matching)
    return list(found) if wanted else files


def only_one(word: str) -> ShippedFile:
    """The file that is meant. Raises UserError: none, or several."""
    matching = chosen([word])
    if len(matching) > 1:
        raise UserError(
            f"{word} may be any of {len(matching)} files", f"Name one: {', '.join(file.name for file in matching[:6])}."
        )
    return matching[0]


def copy_files(files: Iterable[ShippedFile], target: Path, *, overwrite: bool) -> list[Path]:
    """Copy files below a folder, under their names; returns where they are.

    Raises UserError, and copies nothing, where one is there already with other contents and may not be overwritten.
    """
    copies = [(file, target / PurePosixPath(file.name)) for file in files]
    changed = [
        copy
        for file, copy in copies
        if copy.exists() and (copy.is_dir() or copy.read_bytes() != file.path.read_bytes())
    ]
    if changed and not overwrite:
        raise UserError(
            f"{changed[0]} is there already, and differs" + (f" (and {len(changed) - 1} more)" * (len(changed) > 1)),
            "Copy into another folder, or overwrite what is there with --overwrite.",
        )
    for file, copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, copy)
    return [copy for _, copy in copies]
