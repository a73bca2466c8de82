"""Fixtures of the tests that load: one broker and one registry for all of them."""

import contextlib
import itertools

import pytest

from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.settings import load_settings
from jobs.topic_admin import create_topics
from schemas.registry import SchemaRegistry
from tests.integration.loader_bench import Bench
from tests.integration.loader_forks import LoaderForks

numbers = itertools.count()


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    settings = free_port_settings(tmp_path_factory.mktemp("stack"), kafka={"partition_count": 2})
    with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)) as stack:
        yield stack


@pytest.fixture(scope="session")
def forks():
    with LoaderForks() as forks:
        yield forks


@pytest.fixture
def bench(stack, forks, tmp_path):
    prefix = f"test{next(numbers)}."
    base = stack.settings
    settings = load_settings(
        kafka=base.kafka.model_dump() | {"topic_prefix": prefix},
        registry=base.registry.model_dump(),
        stack=base.stack.model_dump() | {"data_dir": tmp_path / "data"},
        loader={"batch_max_age_ms": 200},
        # The rows are of a fixed month, which gets older.
        clickhouse={"keep_days": (0, 0, 0), "keep_points_days": 0},
    )
    create_topics(settings.kafka)
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    with contextlib.closing(registry):
        bench = Bench(settings, registry.register_all(), forks)
    yield bench
    for process in bench.processes:
        process.kill()
        process.communicate()
