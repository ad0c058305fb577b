"""`cel2crm replay`.

commands            the group
selection_options   the options that choose calls
plan, diff          what only reads
publish             corrections into the live topics
deliver             calls of a selection again to one portal
run, standing       results into topics of their own: run, resume; status, cancel, drop
output_file         a file that stands under its name only when it is whole
told                differences in words, as JSON and as CSV
bar                 progress: rate and time left
"""
