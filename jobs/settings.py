"""All settings of Fleetpulse, and the only reader of the environment.

Sources, the later wins: defaults here, a TOML file (`FLEETPULSE_SETTINGS_FILE` or `--settings`),
environment variables (`FLEETPULSE_KAFKA__PARTITION_COUNT=8`), flags of the command line. An unknown
name or a value out of range refuses to start with one line that names the setting.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableGroup

from jobs.settings_groups import DriftSettings, Group, RolloutSettings
from jobs.settings_refusals import ENVIRONMENT_PREFIX, refusal_of
from schemas.errors import SettingsError

SETTINGS_FILE_VARIABLE = "FLEETPULSE_SETTINGS_FILE"
EXAMPLE_VARIABLE = "FLEETPULSE_KAFKA__PARTITION_COUNT"

Port = Annotated[int, Field(ge=1, le=65535)]
EmergencyScope = Literal["tenant", "deployment_group", "site"]
KeptDays = Annotated[int, Field(ge=0, le=36_500)]


class KafkaSettings(Group):
    """Where Kafka is and how the topics look."""

    bootstrap_servers: str = "127.0.0.1:19092"
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$")
    partition_count: int = Field(4, ge=1, le=10_000)
    clock: Literal["log", "record"] = "log"
    """`log`: the broker's append time, checked at start. `record`: the producer's, for replay."""
    tick_interval_s: float = Field(5.0, ge=0.1, le=30.0)


class RegistrySettings(Group):
    """Where the Confluent-compatible schema registry is."""

    url: str = "http://127.0.0.1:18081/apis/ccompat/v7"
    timeout_s: float = Field(10.0, gt=0, le=120)


class FlinkSettings(Group):
    """Where the Flink cluster is and how the jobs run on it."""

    rest_address: str = "127.0.0.1"
    rest_port: Port = 18082
    parallelism: int = Field(1, ge=1, le=4096)
    shard_count: int = Field(16, ge=1, le=32_768)
    """Fixed for the life of the state; at least 4 times the largest parallelism planned. Each costs
    up to 7 ms of a core a second, however little it has to do."""
    block_max_messages: int = Field(10_000, ge=1, le=1_000_000)
    block_max_age_ms: int = Field(1_000, ge=10, le=60_000)
    checkpoint_interval_ms: int = Field(5_000, ge=500, le=600_000)
    transaction_timeout_ms: int = Field(600_000, ge=10_000)

    @model_validator(mode="after")
    def _check_shards(self) -> "FlinkSettings":
        if self.shard_count < self.parallelism:
            raise ValueError("shard_count is below parallelism: some subtasks would never get work")
        return self


class ClickHouseSettings(Group):
    """Where results are stored: the embedded engine (`chdb`) or a server."""

    interface: Literal["chdb", "http", "https"] = "chdb"
    host: str = "127.0.0.1"
    port: Port = 8123
    username: str = "default"
    password: SecretStr = SecretStr("")
    database: str = Field("fleetpulse", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    timeout_s: float = Field(60.0, ge=1, le=600)
    """How long a server may be silent in mid-request before the request is repeated."""
    keep_days: tuple[KeptDays, KeptDays, KeptDays] = (90, 365, 1826)
    """How long windows, hours and days are kept; 0: for ever."""
    keep_points_days: KeptDays = 30


class LoaderSettings(Group):
    """How the loader batches rows into ClickHouse."""

    batch_max_rows: int = Field(200_000, ge=1, le=5_000_000)
    batch_max_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    batch_max_age_ms: int = Field(1_000, ge=50, le=600_000)
    has_points: bool = True
    """Whether the points themselves are stored, too, and not only their windows."""
    points_max_age_ms: int = Field(5_000, ge=50, le=600_000)


class OfflineSettings(Group):
    """When a silent device, and a silent fleet, raise an alert."""

    warning_after_s: float = Field(300.0, ge=1)
    critical_after_s: float = Field(1800.0, ge=1)
    emergency_ratio: float = Field(0.10, gt=0, le=1)
    emergency_scopes: tuple[EmergencyScope, ...] = ("tenant",)
    """Whose devices make an emergency of their own; the tenant's is always one of them."""
    resolve_hold_s: float = Field(300.0, ge=0)
    late_report_interval_s: float = Field(120.0, ge=0)
    """A device whose report interval is above this is not late until its report is."""
    lag_after_s: float = Field(60.0, ge=1)
    """While the input is further behind than this, events wait until the backlog is read."""
    block_max_messages: int = Field(40_000, ge=1, le=1_000_000)
    """Larger than those of other jobs: of a message it keeps little, and a block costs each shard
    milliseconds. Only a backlog fills it: live messages wait `flink.block_max_age_ms` at most."""

    @model_validator(mode="after")
    def _check_order(self) -> "OfflineSettings":
        if self.critical_after_s <= self.warning_after_s:
            raise ValueError("critical_after_s must be above warning_after_s")
        if "tenant" not in self.emergency_scopes:
            raise ValueError("emergency_scopes must name tenant, which is always watched")
        return self


class WindowSettings(Group):
    """The lengths of the windows; fixed for the life of the tables."""

    device_window_s: int = Field(300, ge=1, le=86_400)
    group_window_s: int = Field(60, ge=1, le=86_400)


class DeadLetterSettings(Group):
    """When a job that rejects too much stops; the rule is in `udfs/reject_limit.py`."""

    max_ratio: float = Field(0.5, gt=0, le=1)
    """Of a partition's last messages, and of their senders; 1 switches it off."""
    window_count: int = Field(1_000, ge=10, le=10_000)
    """How many messages of a partition the last ones are."""
    min_count: int = Field(100, ge=1)
    """Fewer messages say nothing; never more than `window_count`."""
    max_consecutive: int = Field(5_000, ge=0)
    """Rejected messages of a partition in a row; 0 switches it off."""
    has_tenant_topics: bool = False
    """Whether what a tenant sends to its own topic can stop the job, and so everybody's windows."""


class FleetSettings(Group):
    """The simulated fleet."""

    tenant_id: str = "demo"
    device_count: int = Field(1_000, ge=1, le=1_000_000)
    seed: int = 1
    batch_interval_s: float = Field(300.0, gt=0)
    speed: float = Field(30.0, gt=0, le=10_000)
    """Simulated seconds per real second: 30 makes a 5-minute batch arrive every 10 s."""


class StackSettings(Group):
    """The local stack: where its files are and which ports it takes, all on loopback."""

    data_dir: Path = Path("fleetpulse-data")
    cache_dir: Path = Path("~/.cache/fleetpulse")
    kafka_port: Port = 19092
    controller_port: Port = 19093
    registry_port: Port = 18081
    registry_management_port: Port = 18083
    flink_port: Port = 18082
    flink_rpc_port: Port = 18089
    metrics_host: str = "127.0.0.1"
    """Where metrics are served; a container opens it to Prometheus with 0.0.0.0."""
    metrics_port: Port = 18084
    """First of a few consecutive ports that serve Prometheus metrics."""
    start_timeout_s: float = Field(180.0, gt=0)


FOLLOWED_PORTS = (
    ("kafka", "bootstrap_servers", "kafka_port", "127.0.0.1:{port}"),
    ("registry", "url", "registry_port", "http://127.0.0.1:{port}/apis/ccompat/v7"),
    ("flink", "rest_port", "flink_port", "{port}"),
)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    flink: FlinkSettings = FlinkSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    loader: LoaderSettings = LoaderSettings()
    offline: OfflineSettings = OfflineSettings()
    windows: WindowSettings = WindowSettings()
    drift: DriftSettings = DriftSettings()
    rollouts: RolloutSettings = RolloutSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    fleet: FleetSettings = FleetSettings()
    stack: StackSettings = StackSettings()

    @model_validator(mode="before")
    @classmethod
    def _follow_stack_ports(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Let addresses that nobody set follow the ports of the local stack."""
        stack = given.get("stack", {})
        for group, field, port_field, template in FOLLOWED_PORTS:
            others = given.get(group, {})
            if not (isinstance(stack, dict) and isinstance(others, dict)):
                break  # what is no group is refused by the validation that follows
            if port_field in stack:
                given[group] = {field: template.format(port=stack[port_field]), **others}
        return given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: flags, environment, TOML file."""
        path = os.environ.get(SETTINGS_FILE_VARIABLE)
        toml = TomlConfigSettingsSource(settings_cls, Path(path) if path else None)
        return init_settings, env_settings, toml


def load_settings(kind: type[Settings] = Settings, /, **flags: Any) -> Settings:
    """Read all sources once.

    Args:
        kind: `jobs.demo_settings.DemoSettings` for a demo.
        flags: groups given on the command line, such as `kafka={"partition_count": 8}`.

    Raises:
        SettingsError: a value is not allowed; the message names the setting and what is.
    """
    toml_file = os.environ.get(SETTINGS_FILE_VARIABLE)
    if toml_file and not Path(toml_file).is_file():
        raise SettingsError(
            SETTINGS_FILE_VARIABLE,
            value=toml_file,
            allowed="the path of a TOML file",
            cure="create the file or unset the variable",
        )
    _require_known_groups()
    try:
        return kind(**flags)
    except ValidationError as error:
        raise refusal_of(error, Settings.model_fields) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            SETTINGS_FILE_VARIABLE, value=toml_file, allowed="a TOML file", cure=str(error)
        ) from error
    except UnreadableGroup as error:
        raise SettingsError(
            "environment",
            value=str(error),
            allowed="a whole group as one JSON object",
            cure=f"set single values, such as {EXAMPLE_VARIABLE}=8",
        ) from error


def _require_known_groups() -> None:
    """Refuse a misspelt group in the environment, which pydantic would not look at."""
    for variable in os.environ:
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == SETTINGS_FILE_VARIABLE:
            continue
        group = variable.removeprefix(ENVIRONMENT_PREFIX).partition("__")[0].lower()
        if group not in Settings.model_fields:
            raise SettingsError(
                variable,
                value="***",
                allowed=f"{ENVIRONMENT_PREFIX}GROUP__NAME of {', '.join(Settings.model_fields)}",
                cure=f"correct the name, such as {EXAMPLE_VARIABLE}, or unset it",
            )


def choose_settings_file(path: Path) -> None:
    """Let this process, and those that it starts, read another settings file."""
    os.environ[SETTINGS_FILE_VARIABLE] = str(path)


def inherited_environment() -> dict[str, str]:
    """Return our own environment for a child process, without any setting of Fleetpulse.

    A child reads its settings from the file that its parent wrote, so that both have the same.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
