"""The local stack: Kafka, Connect with Debezium, Apicurio Registry and MariaDB as processes on loopback.

with LocalStack() as stack: ...        everything ends with the block, or with this process, however it dies
python -m deploy.local up|down|status|logs from a shell
"""

from deploy.local.endpoints import Endpoints
from deploy.local.errors import PartFailed, StackError
from deploy.local.stack import PARTS, LocalStack
from deploy.local.supervision import end_with_parent

__all__ = ["PARTS", "Endpoints", "LocalStack", "PartFailed", "StackError", "end_with_parent"]
