"""Which channel began a call."""

from streams.calls.call import age_of, epoch_of
from streams.calls.channel_name import is_helper
from streams.rows.row import CelRow


def calling_uniqueid(rows: list[CelRow], linkedid: str) -> str:
    """Uniqueid of the channel that began the call: it gave the call its linkedid; else the first one seen.

    Asterisk's helpers begin no call: a person is on the first other channel.
    """
    if not rows or (rows[0].uniqueid == linkedid and not is_helper(rows[0].channame)):
        return linkedid
    uniqueids = [row.uniqueid for row in rows if not is_helper(row.channame)]
    return linkedid if linkedid in uniqueids else next(iter(uniqueids), linkedid)


def calling_rows_missing(rows: list[CelRow], linkedid: str) -> bool:
    """Whether not one row of the channel that gave the call its linkedid is there, though CHAN_STARTs are logged.

    Databases refuse rows (a name in letters that their character set lacks), and then all those of a channel. Asterisk
    names a call after its oldest channel: where one of the rows is older, the linkedid comes from elsewhere.
    """
    if not rows or rows[0].uniqueid == linkedid or epoch_of(linkedid) is None:
        return False
    oldest = age_of(linkedid)
    started = any(row.eventtype == "CHAN_START" for row in rows)
    return started and all(age_of(row.uniqueid) > oldest for row in rows)
