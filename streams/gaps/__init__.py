"""Gaps: rows of the PBX's table that never reached the `cel` topic, and rows of the topic that no result shows.

    comparison.py   both directions, each with its second look: what `cel2crm gaps` and `connectors watch` call
    captured.py     the table against the topic
    results.py      the topic against results, dead letters and checkpoints
    small.py        the same for `connectors watch`: the recent part, in bounded time, remembered

    table.py        the table: ids and channels by primary key, page by page
    topic.py        the topic: the same of its records, and its first kept rows
    record_keys.py  a record as (id, uniqueid, linkedid)
    taken.py        how far the aggregate worker has come: its group's markers

    row_index.py    pure: (id, uniqueid) of many rows, 8 bytes each
    call_tally.py   pure: highest id and number of rows of each call
    horizon.py      pure: which rows can be expected on the topic at all
    findings.py     pure: stretches, calls, and the command that heals each
    report.py       pure: the same in words and as JSON
    outcome.py      what is remembered of them

Memory: 8 bytes for each row on the topic, some 150 for each call, at most a page of the table.
"""
