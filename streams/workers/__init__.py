"""The two kinds of worker processes (`cel2crm worker ..`): CEL rows into results, results into CRMs.

    aggregate/  rows of the cel topic -> each call's result and legs
    deliver/    results and operators' commands -> one CRM's portals

Both keep the state of their partitions in a fenced log (streams/kafka/fenced_log.py) and run in
streams/kafka/worker_runtime.py. Nothing imports from here but streams/gaps, which reads checkpoints, the command line
and tests.
"""
