"""Results as analysts and scripts read them: the truth about each call, who must be called back, files of a lake.

truth.py              the record of each call that counts, from the topic
result_filter.py      pure: which calls are meant
waiting_clients.py    pure: missed calls less any later contact
report/               figures of a period, and the page with plots
export.py             the truth as Parquet files by day
day_files.py          the files of a day: whole or not there
lake_schema.py        the fields of a record as columns
"""
