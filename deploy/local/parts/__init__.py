"""The servers of the stack, one module each."""

from deploy.local.parts.connect import Connect
from deploy.local.parts.kafka import Kafka
from deploy.local.parts.mariadb import MariaDb
from deploy.local.parts.part import Part, Site, Tuning
from deploy.local.parts.registry import Registry

ALL: dict[str, type[Part]] = {part.name: part for part in (Kafka, Registry, MariaDb, Connect)}

__all__ = ["ALL", "Connect", "Kafka", "MariaDb", "Part", "Registry", "Site", "Tuning"]
