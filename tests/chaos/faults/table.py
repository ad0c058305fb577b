"""The PBX's table changes under capture."""

from tests.chaos.fault import Fault


class ColumnAdded(Fault):
    name = "column-added"
    does = "a column is added in the middle of the table, and extra becomes longtext"
    spoils = True

    def strike(self) -> None:
        self.made.sql(
            "alter table cel add column if not exists pbxnote varchar(80) not null default 'x' after eventtype"
        )
        self.until_calls(3)
        self.made.sql("alter table cel modify extra longtext")
        self.until_calls(3)


class ExtraFault(Fault):
    """The column that tells why a call was not answered is there no more."""

    only_workers = True
    told = r"extra"
    spoils = True

    def ready(self) -> None:
        """A process says once that the column is missing: each of these faults is told to one of its own."""
        worker = "worker-aggregate"
        self.made.services.stop(worker)
        self.made.start_and_wait(worker)


class ExtraRenamed(ExtraFault):
    name = "extra-renamed"
    does = "the column extra is renamed under capture, and named back after some calls"

    def strike(self) -> None:
        self.ready()
        self.made.sql("alter table cel change extra was_extra varchar(512) default ''")
        self.until_calls(4)
        self.made.sql("alter table cel change was_extra extra varchar(512) not null default ''")


class ExtraDropped(ExtraFault):
    name = "extra-dropped"
    does = "the column extra is dropped under capture, and added again after some calls"

    def strike(self) -> None:
        self.ready()
        self.made.sql("alter table cel drop column extra")
        self.until_calls(4)
        self.made.sql("alter table cel add column extra varchar(512) not null default '' after userdeftype")


class TableTruncated(Fault):
    name = "table-truncated"
    does = "TRUNCATE: ids begin again at 1"
    table_kept = False
    spoils = True

    def strike(self) -> None:
        self.made.sql("truncate table cel")
        self.until_calls(4)


class OldRowsDeleted(Fault):
    name = "old-rows-deleted"
    does = "rows that are older than a minute are deleted"
    table_kept = False
    spoils = True

    def strike(self) -> None:
        self.made.sql("delete from cel where eventtime < now() - interval 1 minute")
        self.until_calls(3)
