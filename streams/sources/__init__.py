"""Where a command's CEL rows come from beside files: the PBX's database, and the cel topic. Only ever read.

database_url.py  an address of a database, without its password
engines.py       MariaDB and PostgreSQL: connecting, quoting, errors
database.py      rows of a table, page by page along its ids
window.py        --since and --until
topic.py         rows of the cel topic, of the partitions that a call can be on
finding.py       one call and those that hang together with it
"""
