"""Scale and life on three brokers, replication 3, two of which must have each record: `make test-scale`.

    cluster.py        the brokers, who leads what, when all replicas are in sync
    topic_flow.py     recorded calls that flow onto the topic `cel` all the time, under ids of their own
    installation.py   one installation: topics, fake portals, workers by the dozen
    results.py        the results as they come, with the time
    phases.py         what is done while calls flow: workers added and removed, brokers killed, everything restarted
    run.py            one phase from the first call to the verdict
    report.py         the table, and the same as JSON

The judge, the ledger of calls and the keeper of processes are those of tests/chaos.
"""
