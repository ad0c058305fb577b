"""The Prometheus metrics of a delivery worker, served on worker.metrics_port."""

from prometheus_client import Counter, Gauge

RESULTS = Counter("cel2crm_delivery_results", "Call results taken from the topic", ["crm"])
FINISHED = Counter("cel2crm_deliveries", "Deliveries that came to an end", ["crm", "portal", "state"])
ANSWERS = Counter("cel2crm_portal_answers", "What portals answered, by what it proves", ["crm", "portal", "answer"])
COMMANDS = Counter("cel2crm_delivery_commands", "Operators' commands carried out", ["crm", "action"])
DEAD_LETTERS = Counter("cel2crm_delivery_dead_letters", "What went to the dead letters", ["crm", "reason"])
WAITING = Gauge("cel2crm_waiting_deliveries", "Calls that are not delivered yet", ["crm"])
PAUSED = Gauge("cel2crm_portal_paused", "1: a person must act before the portal takes calls", ["crm", "portal"])
SHADOW = Gauge("cel2crm_portal_shadow", "1: a shadow, whose calls are recorded and not sent", ["crm", "portal"])
FOLLOW_UPS = Counter(
    "cel2crm_follow_ups",
    "What followed calls that are in the CRM, such as their recordings, by how it ended",
    ["crm", "portal", "kind", "state"],
)
WAITING_FOLLOW_UPS = Gauge(
    "cel2crm_waiting_follow_ups", "Calls in the CRM that something is still to follow, such as a recording", ["crm"]
)
CHECK_FAULTS = Gauge(
    "cel2crm_portal_check_faults", "What a person must mend, as found when the worker started", ["crm", "portal"]
)
LAG = Gauge("cel2crm_delivery_lag_results", "Results on the topic that are not taken yet", ["crm", "partition"])
RETENTION_MARGIN = Gauge(
    "cel2crm_delivery_retention_margin_results",
    "Offsets from the first that the topic still holds to the next result; below 0: results were lost",
    ["crm", "partition"],
)
LOST = Counter(
    "cel2crm_lost_results",
    "Results that were gone, or passed over by hand, before they were taken",
    ["crm", "partition"],
)
REFRESHES = Counter("cel2crm_token_refreshes", "Access tokens asked for, by outcome", ["crm", "portal", "outcome"])
