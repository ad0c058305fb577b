"""Kafka Connect and the database: killed, stopped, away; the password."""

import signal
from pathlib import Path

from tests.chaos.fault import Fault
from tests.chaos.services import wait_until


class ConnectKilled(Fault):
    name = "connect-killed"
    does = "SIGKILL of Kafka Connect, back after 3 s"

    def strike(self) -> None:
        with self.away("connect"):
            self.hold(3)


class ConnectStopped(Fault):
    name = "connect-stopped"
    does = "SIGTERM of Kafka Connect, back after 20 s"

    def strike(self) -> None:
        stack = self.made.stack
        stack.send_signal("connect", signal.SIGTERM)
        wait_until(lambda: stack.exit_status("connect") is not None, 60, "Connect has ended")
        self.hold(20)
        stack.start_part("connect")


class ConnectAway(Fault):
    name = "connect-away-90s"
    does = "Kafka Connect is away for 90 s"
    told = r"connect does not answer|no Kafka Connect"

    def strike(self) -> None:
        with self.away("connect"):
            self.hold(90)


class DatabaseKilled(Fault):
    name = "database-killed"
    does = "SIGKILL of MariaDB, back after 2 s"

    def strike(self) -> None:
        with self.away("mariadb"):
            self.hold(2)


class DatabaseStopped(Fault):
    name = "database-stopped"
    does = "SIGTERM of MariaDB, started again at once"

    def strike(self) -> None:
        stack = self.made.stack
        stack.send_signal("mariadb", signal.SIGTERM)
        wait_until(lambda: stack.exit_status("mariadb") is not None, 60, "MariaDB has ended")
        stack.start_part("mariadb")


class DatabaseAway(Fault):
    name = "database-away-125s"
    does = "MariaDB is away for 125 s"
    told = r"no database answers|sign of life"

    def strike(self) -> None:
        with self.away("mariadb"):
            self.hold(125)


class PasswordRotated(Fault):
    name = "password-rotated"
    does = "the capture user's password is changed and its connections killed; Connect's file follows 20 s later"
    told = r"password|sign of life|refuses user"

    def strike(self) -> None:
        made = self.made
        password = f"rotated-{self.random.randrange(10**9)}"
        made.sql("alter user 'cel2crm'@'%%' identified by %s", password)
        for row in made.sql("select id from information_schema.processlist where user = 'cel2crm'"):
            made.sql(f"kill {int(row[0])}")
        self.hold(20)
        made.endpoints.secrets_file.write_text(f"cel.password={password}\n", encoding="utf-8")
        file = made.settings.database.password_file
        assert file is not None
        Path(file).write_text(password, encoding="utf-8")
