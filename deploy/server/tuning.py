"""How the servers of one small server differ from those of a cluster: little memory, few questions while nothing moves.

For a PBX of up to a few hundred phones. What each is worth: docs/performance.md, One server at rest.
"""

from deploy.local.parts import Tuning

_SMALL = (
    "-XX:+UseCompactObjectHeaders",
    "-XX:ReservedCodeCacheSize=32m",
    "-XX:MinHeapFreeRatio=10",
    "-XX:MaxHeapFreeRatio=20",
    "-XX:TrimNativeHeapInterval=10000",
)

TUNING = {
    "kafka": Tuning(
        ("-Xms24m", "-Xmx96m", "-XX:MaxMetaspaceSize=96m", *_SMALL),
        {
            # There is no other node that a record each half second would tell that the controller lives.
            "metadata.max.idle.interval.ms": 60_000,
            "broker.heartbeat.interval.ms": 4_000,
            "broker.session.timeout.ms": 18_000,
            # 150,000 keys at a time; allocated at once, and then held for good.
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            "group.coordinator.threads": 1,
            "share.coordinator.threads": 1,
            "num.io.threads": 2,
            "num.network.threads": 1,
        },
    ),
    "registry": Tuning(
        ("-Xms24m", "-Xmx80m", "-XX:MaxMetaspaceSize=128m", *_SMALL),
        {
            # Downloads, usage, other nodes' changes, leftovers of deleted versions: nothing of that is here.
            "quarkus.scheduler.enabled": "false",
            "apicurio.datasource.jdbc.initial-size": 1,
            "apicurio.datasource.jdbc.min-size": 1,
            "apicurio.datasource.jdbc.max-size": 10,
        },
    ),
    "connect": Tuning(
        # The heap grows with the PBXs, by 2 MB each, and is no larger for one than if it could not grow.
        ("-Xms24m", "-Xmx384m", "-XX:MaxMetaspaceSize=128m", *_SMALL),
        {
            # Of its three internal topics: how long a question for news waits for some. Its end waits as long.
            "fetch.max.wait.ms": 5_000,
            "retry.backoff.ms": 500,
        },
    ),
}
