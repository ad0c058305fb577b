"""`cel2crm classify`.

command     the command: rows in, one line a call out
outcomes    a call's outcome as JSON, with what each CRM would get
parallel    the same on all cores
what_if     outcomes by two sets of rules side by side (--compare)
truth       outcomes beside the truth that recorded cases carry (--truth)
"""
