"""`cel2crm portal`: the accounts at the CRMs.

commands    the group of commands; `new-key`
authorise   let the product in by OAuth
check       will a portal take calls, and what a person must mend
status      how portals are let in, for how long, and which calls wait
enable      ask a portal again that wanted no more calls
unmatched   extensions without a person
"""
