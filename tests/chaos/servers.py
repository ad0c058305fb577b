"""Variants of the local stack's servers that faults need: links to the broker, small disks, three brokers."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest import mock

from deploy.local import Endpoints, LocalStack, parts, stack
from deploy.local.parts.part import Part
from deploy.local.ports import HOST

ServerKind = Literal["plain", "small-disks", "three-brokers"]

KAFKA_DISK_MB = 450
DATABASE_DISK_MB = 220
BROKERS = ("kafka", "kafka-2", "kafka-3")

_MOUNTED = 'mount -o loop "$1" "$2" && rm -rf "$2/lost+found" && shift 2 && exec "$@"'


def link_port(broker: str) -> str:
    """Name of the port under which clients reach a broker: that of a link, which leads to its listener CLIENTS."""
    return f"{broker}-link"


def clients_port(broker: str) -> str:
    """Name of the port of a broker's listener CLIENTS."""
    return f"{broker}-clients"


class LinkedKafka(parts.Kafka):
    """A broker whose clients are told to come through a link."""

    ports = ("kafka", "kafka-controller", "kafka-clients", "kafka-link")

    def prepare(self) -> None:
        super().prepare()
        ports = self.site.ports
        direct = f"BROKER://{HOST}:{ports[self.name]},CONTROLLER://{HOST}:{ports[f'{self.name}-controller']}"
        self._append(
            {
                "listeners": f"{direct},CLIENTS://{HOST}:{ports[clients_port(self.name)]}",
                "advertised.listeners": f"{direct},CLIENTS://{HOST}:{ports[link_port(self.name)]}",
                "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:PLAINTEXT",
                "log.retention.check.interval.ms": 5000,
            }
        )

    def _append(self, values: Mapping[str, str | int]) -> None:
        # Of a name that stands there twice, the last value counts.
        with self._configuration.open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())


class SmallDiskKafka(LinkedKafka):
    """A broker whose data is on a disk of its own."""

    def prepare(self) -> None:
        super().prepare()
        make_disk(self.home, self.home / "logs", KAFKA_DISK_MB)

    def preparation(self) -> Sequence[str | Path]:
        return on_disk(self.home, self.home / "logs", super().preparation())

    def command(self) -> Sequence[str | Path]:
        return on_disk(self.home, self.home / "logs", super().command())


class SmallDiskMariaDb(parts.MariaDb):
    """A database whose data is on a disk of its own."""

    def prepare(self) -> None:
        super().prepare()
        make_disk(self.home, self.home / "data", DATABASE_DISK_MB)

    def preparation(self) -> Sequence[str | Path]:
        return on_disk(self.home, self.home / "data", super().preparation())

    def command(self) -> Sequence[str | Path]:
        return on_disk(self.home, self.home / "data", super().command())


def make_disk(home: Path, mounted_at: Path, megabytes: int) -> None:
    """An empty file system in a file."""
    mounted_at.mkdir()
    image = home / "disk.img"
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, stdin=subprocess.DEVNULL)


def on_disk(home: Path, mounted_at: Path, command: Sequence[str | Path]) -> list[str | Path]:
    """The command with that disk mounted for it alone: the mount ends with the process, however it ends."""
    namespace = ["unshare", "--mount", "--propagation", "private"]
    return [*namespace, "sh", "-c", _MOUNTED, "sh", home / "disk.img", mounted_at, *command]


def cluster_configuration(number: int, ports: Mapping[str, int]) -> dict[str, str | int]:
    """Of one broker of three, each of them a controller as well; topics have three replicas."""
    voters = ",".join(f"{each}@{HOST}:{ports[f'{name}-controller']}" for each, name in enumerate(BROKERS, start=1))
    return {
        "node.id": number,
        "controller.quorum.bootstrap.servers": "",
        "controller.quorum.voters": voters,
        "default.replication.factor": 3,
        "min.insync.replicas": 2,
        "offsets.topic.replication.factor": 3,
        "transaction.state.log.replication.factor": 3,
        "transaction.state.log.min.isr": 2,
        "broker.session.timeout.ms": 6000,
    }


def of_cluster(preparation: Sequence[str | Path]) -> list[str | Path]:
    """A broker's preparation, for one of three."""
    words = [word for word in preparation if word != "--standalone"]
    return [f"--cluster-id={_CLUSTER}" if str(word).startswith("--cluster-id=") else word for word in words]


class ClusteredKafka(LinkedKafka):
    """One of three brokers, each of them a controller as well; topics have three replicas."""

    number = 1

    def prepare(self) -> None:
        super().prepare()
        self._append(cluster_configuration(self.number, self.site.ports))

    def preparation(self) -> Sequence[str | Path]:
        return of_cluster(super().preparation())


class SecondKafka(ClusteredKafka):
    name = "kafka-2"
    ports = ("kafka-2", "kafka-2-controller", "kafka-2-clients", "kafka-2-link")
    number = 2


class ThirdKafka(ClusteredKafka):
    name = "kafka-3"
    ports = ("kafka-3", "kafka-3-controller", "kafka-3-clients", "kafka-3-link")
    number = 3


class ClusteredConnect(parts.Connect):
    """Kafka Connect on three brokers."""

    needs = BROKERS

    def prepare(self) -> None:
        super().prepare()
        servers = ",".join(f"{HOST}:{self.site.ports[name]}" for name in BROKERS)
        with self._configuration.open("a", encoding="utf-8") as file:
            file.write(f"bootstrap.servers={servers}\n")
            for kind in ("config", "offset", "status"):
                file.write(f"{kind}.storage.replication.factor=3\n")


_CLUSTER = "Y2hhb3Mtc3VpdGUtMQ-AAA"

KINDS: dict[ServerKind, dict[str, type[Part]]] = {
    "plain": {"kafka": LinkedKafka},
    "small-disks": {"kafka": SmallDiskKafka, "mariadb": SmallDiskMariaDb},
    "three-brokers": {
        "kafka": ClusteredKafka,
        "kafka-2": SecondKafka,
        "kafka-3": ThirdKafka,
        "connect": ClusteredConnect,
    },
}


class VariantStack(LocalStack):
    """The local stack with variants of its servers and further ones, by name; `names`: only these."""

    def __init__(self, variants: Mapping[str, type[Part]], names: Sequence[str] | None = None) -> None:
        self._by_name = variants
        with self._variants():
            super().__init__(parts=names or tuple(parts.ALL))

    def port(self, name: str) -> int:
        """A server's port by its name."""
        return next(iter(self._parts.values())).site.ports[name]

    def _start_once(self, downloaded: Path) -> Endpoints:
        with self._variants():
            return super()._start_once(downloaded)

    @contextmanager
    def _variants(self) -> Iterator[None]:
        names = tuple(dict.fromkeys([*parts.ALL, *self._by_name]))
        with mock.patch.dict(parts.ALL, self._by_name), mock.patch.object(stack, "PARTS", names):
            yield


class ChaosStack(VariantStack):
    """What faults act on."""

    def __init__(self, kind: ServerKind) -> None:
        self.kind = kind
        super().__init__(KINDS[kind])

    @property
    def brokers(self) -> tuple[str, ...]:
        """Names of the brokers."""
        return BROKERS if self.kind == "three-brokers" else ("kafka",)

    def data_directory(self, name: str) -> Path:
        """Where a server of the kind small-disks keeps its data, as seen from its own process."""
        return self._parts[name].home / ("logs" if name == "kafka" else "data")

    def disk(self, name: str) -> Path:
        """The file that holds the disk of a server of the kind small-disks."""
        return self._parts[name].home / "disk.img"
