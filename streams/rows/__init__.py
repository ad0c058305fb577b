"""CEL rows, and how they are read.

* `row.py`: a row, and its decoder: from the records that Debezium makes, and from the columns of other sources.
* `eventtime.py`: the many spellings of the PBX's wall clock.
* `files.py`: rows of CSV files, JSON Lines and recorded cases.
"""
