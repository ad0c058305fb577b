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
    plan.py        what a replay would read, and how long it takes
    progress.py    pure: rate and time left
"""
