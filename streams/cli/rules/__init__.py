"""`cel2crm rules`.

commands    show, check, diff
tables      the rules in force as lines to print
"""
