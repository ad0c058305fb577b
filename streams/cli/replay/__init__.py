"""`cel2crm replay`.

commands            the group
selection_options   the options that choose calls
plan, diff          what only reads
told                differences in words, as JSON and as CSV
bar                 progress: rate and time left
"""
