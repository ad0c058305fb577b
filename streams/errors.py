"""The errors that a user can mend, each told in one message without a traceback."""


class UserError(Exception):
    """A mistake or a missing part outside the program: says what is wrong and what to do.

    The command line prints `problem` and `remedy` and ends with exit status 2.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class SettingsError(UserError):
    """A setting is missing, unknown or has a value that is not allowed; names its path and what is allowed."""


class RulesError(UserError):
    """A rule file cannot be used; names the file, the line, the reason and the allowed values."""


class UnreadableRow(Exception):
    """A record on the CEL topic is no CEL row. The reason says which column is wrong; it goes to the dead letters."""
