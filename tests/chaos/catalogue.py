"""Every fault by its name, and the few of the short form."""

import inspect

from tests.chaos.fault import Fault
from tests.chaos.faults import (
    broker,
    capture,
    clocks,
    cluster,
    commands,
    database,
    disks,
    links,
    records,
    registry,
    repartitioning,
    rows,
    table,
    topics,
    workers,
)

_MODULES = (
    broker,
    workers,
    database,
    links,
    records,
    rows,
    topics,
    commands,
    registry,
    capture,
    table,
    clocks,
    disks,
    cluster,
    repartitioning,
)

FAULTS: dict[str, type[Fault]] = {
    found.name: found
    for module in _MODULES
    for found in vars(module).values()
    if inspect.isclass(found) and issubclass(found, Fault) and not inspect.isabstract(found) and "name" in vars(found)
}

SHORT = ("connect-killed", "registry-emptied-other-order", "records-expired-while-stopped")
"""Those that lost or doubled calls once, in the order in which one installation serves them all."""
