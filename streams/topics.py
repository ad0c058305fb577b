"""Every topic of the product: its short name, and the schema of its records.

The full name is `<kafka.topic_prefix>.<short name>` (`settings.kafka.topic`). connectors/topics.yaml declares the
partitions, cleanup and retention of each.
"""

PARTITIONS_PAGE = "docs/operating.md#partitions-are-chosen-once"
"""For messages about topics that have another number of partitions than was chosen."""


class Topic(str):
    """The short name of a topic."""

    schema: str
    """Name of the Avro schema of its values (schemas/<name>.avsc); empty where they are not ours (JSON of Debezium, a
    checkpoint's own form)."""
    by_call: bool
    """Whether calls share its partitions out by their key: it has kafka.partitions of them, chosen once; else one."""

    def __new__(cls, name: str, schema: str = "", *, by_call: bool = False) -> "Topic":
        """A topic with that short name."""
        topic = super().__new__(cls, name)
        topic.schema = schema
        topic.by_call = by_call
        return topic


CEL = Topic("cel", by_call=True)
"""CEL rows as Debezium delivers them; key: the bare linkedid."""

CALL_RESULTS = Topic("call-results", "call_result", by_call=True)
CALL_LEGS = Topic("call-legs", "call_leg", by_call=True)
AGGREGATE_CHECKPOINTS = Topic("aggregate-checkpoints", by_call=True)
"""The state of open calls, in the form of workers/aggregate/partition_state.py; key: call id."""

PORTAL_STATES = Topic("portal-states", "portal_state")
"""Portals' own records, beside their calls; key: `<crm>/<portal>`, `<crm>/<portal>/<partition>`."""

DELIVERY_COMMANDS = Topic("delivery-commands", "delivery_command", by_call=True)
DEAD_LETTERS = Topic("dead-letters", "dead_letter", by_call=True)
DEAD_LETTER_RESOLUTIONS = Topic("dead-letter-resolutions", "dead_letter_resolution", by_call=True)
CAPTURE_STATE = Topic("capture-state")
"""The capture's memory of each PBX's database, in the form of connectors/capture_state.py; key: name of the PBX."""

CAPTURE_MARKS = Topic("capture-marks")
"""Until when each PBX's rows are on the topic (calls/capture_mark.py); key: name of the PBX."""

COMPLETE_UNTIL = Topic("complete-until", "complete_until")
"""Until when each PBX's calls are on the topic; key: `<pbx>/<partition of cel>`."""

SET_ASIDE_RECORDS = Topic("set-aside-records")
"""Unreadable records that operators set aside (kafka/set_aside.py); key: `<topic>/<partition>/<offset>`."""

ICEBERG_CONTROL = Topic("iceberg-control")
"""What the tasks of a lake's sink tell one another, in Iceberg's own form."""

REPLAYS = Topic("replays")
"""Replays under way and done (replay/control.py); key: name of the replay."""

RULES_IN_FORCE = Topic("rules-in-force")
"""By which rules the aggregate workers judge (calls/rules_in_force.py); key: number of the cel topic's partition."""

ERASED_NUMBERS = Topic("erased-numbers")
"""Numbers that were erased (privacy/erased.py); key: the number's keyed hash."""

CALL_RESULTS_HASHED = Topic("call-results-hashed", CALL_RESULTS.schema, by_call=True)
"""Results with keyed hashes in place of numbers (privacy/hashed.py), where privacy.hashed_topic is set."""

CREDENTIALS = Topic("credentials")
"""OAuth tokens, encrypted; key: `<crm>/<portal>`."""


def deliveries(crm: str) -> Topic:
    """The delivery log of one CRM; key: call id."""
    return Topic(f"deliveries-{crm}", "delivery", by_call=True)
