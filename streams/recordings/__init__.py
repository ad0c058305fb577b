"""Recordings of calls: where one is, whether it is there, and how a CRM gets it.

template    a template of the settings filled from a call's result; pure
links       signed links that expire; pure
files       files below a folder, and never outside of it
cdr         the recording's name in the PBX's table of call detail records, read here only
finder      the local step of a delivery's follow-up: is the recording there?
server      `cel2crm serve-recordings`: recordings by signed links
"""
