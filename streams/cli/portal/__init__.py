"""`cel2crm portal`: the accounts at the CRMs.

commands    the group of commands; `new-key`
authorise   let the product in by OAuth
check       will a portal take calls, and what a person must mend
probe       what only a portal can tell, tried with test calls at a trial account
probe_report  its findings as lines, JSON and Markdown, without secrets
report_file a report that is there whole or not at all
tokens      a portal's tokens for a command
status      how portals are let in, for how long, and which calls wait
enable      ask a portal again that wanted no more calls
unmatched   extensions without a person
"""
