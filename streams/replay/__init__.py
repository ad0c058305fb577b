"""Calls judged anew from the rows on the cel topic: planned, compared with the results that stand there, published.

Off Faust: rows are read in large batches, by offsets, and folded and judged by the same pure code as live (calls/).
A call is judged from all its rows in the range that is read, or not at all.

    selection.py   pure: which calls are meant
    ranges.py      which offsets are read for them: wider than asked, by the longest call
    source.py      the topic, read by offsets
    fold.py        pure: rows of a partition to whole calls, in two readings
    judge.py       pure: a call's outcome, or why there is none
    published.py   the results that stand on call-results, in 40 bytes a call
    call_index.py  pure: the table that holds these
    comparison.py  the two side by side: what differs (calls/differences.py)
    spool.py       differing calls on disk, until they are needed
    plan.py        what a replay would read, and how long it takes
    progress.py    pure: rate and time left
    publishing.py  differing calls as corrections into the live topics, by the rules of the live workers
    control.py     the control record of a replay on the topic `replays`, and the rules in it
    running.py     replays into topics of their own: begun, resumed, told, cancelled, dropped
    member.py      a member of one: judges, writes, commits the oldest row that is still needed
    group.py       its consumer group
    spark.py       the same calls judged by Spark, from rows beyond what Kafka holds
    opening.py     connections, ranges and rules of a command
"""
