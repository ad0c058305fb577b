"""The decoder for the cel topic, on which the rows of all PBXs are."""

from streams.rows.row import RowDecoder
from streams.settings import Settings


def topic_decoder(settings: Settings) -> RowDecoder:
    """Decodes each row by the column names of its own PBX's table; one without a PBX's name is of `settings.pbx`."""
    aliases = settings.database.column_name_aliases
    others = {
        each.name: RowDecoder(each.database.column_name_aliases, each.name)
        for each in settings.pbxs
        if each.database.column_name_aliases != aliases
    }
    return RowDecoder(aliases, settings.pbx.name, others)
