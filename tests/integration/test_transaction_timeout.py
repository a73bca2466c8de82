"""The transaction timeout is refused at the start, not found out by what is lost later."""

import pytest

from jobs.java_program import BROKER_TRANSACTION_MAX_MS
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.settings import KafkaSettings, Settings
from jobs.topic_admin import WORST_RESTART_MS, check_transaction_timeout
from schemas.errors import SettingsError, Unavailable

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = free_port_settings(tmp_path_factory.mktemp("stack"))
    with LocalStack(settings, parts=(Part.KAFKA,)):
        yield settings


def with_timeout(settings: Settings, timeout_ms: int) -> Settings:
    flink = settings.flink.model_copy(update={"transaction_timeout_ms": timeout_ms})
    return settings.model_copy(update={"flink": flink})


def test_what_the_broker_grants_and_a_restart_needs_is_accepted(settings):
    check_transaction_timeout(settings)
    check_transaction_timeout(with_timeout(settings, BROKER_TRANSACTION_MAX_MS))


def test_more_than_the_broker_grants_is_refused_with_its_limit(settings):
    asked_ms = BROKER_TRANSACTION_MAX_MS + 1
    with pytest.raises(SettingsError, match=f"^flink.transaction_timeout_ms = {asked_ms};") as why:
        check_transaction_timeout(with_timeout(settings, asked_ms))
    line = str(why.value)
    assert f"at most {BROKER_TRANSACTION_MAX_MS}" in line
    assert "transaction.max.timeout.ms" in line
    assert "\n" not in line


def test_less_than_a_checkpoint_and_a_restart_is_refused(settings):
    least_ms = settings.flink.checkpoint_interval_ms + WORST_RESTART_MS
    check_transaction_timeout(with_timeout(settings, least_ms + 1))
    with pytest.raises(SettingsError, match=f"allowed: above {least_ms} "):
        check_transaction_timeout(with_timeout(settings, least_ms))


def test_a_broker_that_is_away_is_unavailable(settings):
    away = settings.model_copy(update={"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1")})
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        check_transaction_timeout(away)
