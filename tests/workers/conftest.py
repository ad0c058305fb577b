"""Worker tests on the shared stack."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.workers.installation import Installation

if TYPE_CHECKING:
    from deploy.local import LocalStack

NewInstallation = Callable[..., Installation]


@pytest.fixture
def install(stack: "LocalStack", tmp_path: Path) -> NewInstallation:
    """Makes an installation; keyword arguments are settings of its aggregate section."""

    def new(**aggregate: float) -> Installation:
        endpoints = stack.endpoints
        prefix = f"t{uuid.uuid4().hex[:8]}"
        return Installation(endpoints.bootstrap_servers, endpoints.registry_url, tmp_path, prefix, aggregate)

    return new
