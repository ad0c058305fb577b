"""`cel2crm version`, and the option --version."""

from importlib import metadata

from streams.cli.output import say


def version() -> None:
    """Show the version."""
    say(f"cel2crm {metadata.version('cel2crm')}")
