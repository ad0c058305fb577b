"""Requests of Kafka's protocol that aiokafka lacks or reads wrongly: rights of the one who asks, many ACLs at once.

Source: https://kafka.apache.org/protocol (Metadata 8, DescribeGroups 3, CreateAcls 1; all brokers since 2.3 have them).
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Int8, Int16, Int32, Schema, String

TEXT = String("utf-8")


class MetadataResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    """Metadata of version 8."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT))),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataStruct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    """See MetadataRequest."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class MetadataRequest(Request[MetadataStruct]):  # type: ignore[misc]  # aiokafka is untyped
    """Topics by name, none of them made by asking, with what the one who asks may do with each."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataStruct]) -> MetadataStruct:
        """See aiokafka."""
        return request_struct_class(self._topics, False, False, True)


class DescribeGroupsResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    """DescribeGroups of version 3, as aiokafka reads it, with its last field."""

    API_KEY = 15
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", TEXT),
                ("state", TEXT),
                ("protocol_type", TEXT),
                ("protocol", TEXT),
                (
                    "members",
                    Array(
                        ("member_id", TEXT),
                        ("client_id", TEXT),
                        ("client_host", TEXT),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsStruct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    """See DescribeGroupsRequest."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse
    SCHEMA = Schema(("groups", Array(TEXT)), ("include_authorized_operations", Boolean))


class DescribeGroupsRequest(Request[DescribeGroupsStruct]):  # type: ignore[misc]  # aiokafka is untyped
    """A consumer group, with what the one who asks may do with it."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsStruct]) -> DescribeGroupsStruct:
        """See aiokafka."""
        return request_struct_class([self._group], True)


class CreateAclsResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    """An error code and a text for each ACL; 0: it is there."""

    API_KEY = 30
    API_VERSION = 1
    SCHEMA = Schema(("throttle_time_ms", Int32), ("results", Array(("error_code", Int16), ("error_message", TEXT))))


class CreateAclsStruct(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    """See CreateAclsRequest."""

    API_KEY = 30
    API_VERSION = 1
    RESPONSE_TYPE = CreateAclsResponse
    SCHEMA = Schema(
        (
            "creations",
            Array(
                ("resource_type", Int8),
                ("resource_name", TEXT),
                ("resource_pattern_type", Int8),
                ("principal", TEXT),
                ("host", TEXT),
                ("operation", Int8),
                ("permission_type", Int8),
            ),
        )
    )


class CreateAclsRequest(Request[CreateAclsStruct]):  # type: ignore[misc]  # aiokafka is untyped
    """Many ACLs at once; one that is there already stays."""

    API_KEY = 30

    def __init__(self, creations: Sequence[tuple[Any, ...]]) -> None:
        """`creations`: tuples as in the struct's schema."""
        self._creations = list(creations)

    def build(self, request_struct_class: type[CreateAclsStruct]) -> CreateAclsStruct:
        """See aiokafka."""
        return request_struct_class(self._creations)
