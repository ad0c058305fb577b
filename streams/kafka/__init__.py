"""Everything that talks to Kafka, for workers and commands alike. Knows nothing of calls or CRMs.

    client.py           facts and acts that every client shares: stopping it, "no Kafka broker at .."
    reach.py            a connection to the first broker that lets us in; bootstrap.py: the same for aiokafka's clients
    gone_topics.py      a topic that is gone under aiokafka's clients: few questions, told once, no commit waits for it
    admin.py            topics made, altered and described
    bounded_reader.py   partitions read up to where they end now: the only place that does
    collector.py        the garbage collector while very many records are read
    zstd.py             batches compressed with zstd, without setting up for each
    topic_client.py     topics as operators' commands need them: read, and written with every answer awaited
    producer.py         the workers' idempotent producer; what is not taken ends the process
    fenced_log.py       a partition with one writer: checkpoints, delivery states, tokens
    dead_letters.py     records that could not be processed, with their origin and reason
    result_headers.py   headers of the records on call-results

    worker_runtime.py   a worker process: checks, Faust with safe defaults, signals, both kinds of end
    broker_wait.py      a broker that is away is waited for; topics that must be there
    group_consumer.py   aiokafka's consumer in the app's own loop: commits and offsets; how long its fetches wait
    batches.py          records on their way through Faust: many as one message, and how many are under way
    taking.py           a batch taken partition by partition, and why a worker ends
    turn.py             turns of the event loop for long work
    faust_overrides.py  everything of Faust and aiokafka that is overridden, pinned to one version of each
    partition_owner.py  partitions taken over all or none, and the watchdog over them
    partition_counts.py topics with other partitions than were chosen; counted_partitions.py: none beyond them is taken
    gathered_commits.py commits that are asked for together, in one request (gathered_questions.py)
    background.py       a service beside the workers, in a thread of its own
    committed.py        a consumer group's position
    hard_exit.py        the end of a worker that must not go on
    lost_records.py     records that are gone before they were taken: told, with what recovers them
    metrics.py          Prometheus metrics of every worker
    logs.py             log lines of a worker

Traps of Faust and aiokafka, and how each is met: docs/traps.md.
"""
