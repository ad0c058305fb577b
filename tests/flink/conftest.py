"""Only where it is asked for: Flink is 155 MB of jars."""

import os

collect_ignore = [] if os.environ.get("CEL2CRM_TEST_FLINK") else ["test_flink_servers.py"]
