"""What an error of ClickHouse means for us: try again, stop with one line, or look for bad rows."""

from enum import StrEnum

from schemas.errors import FleetpulseError, SettingsError, Unavailable

RETRY_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        107,  # FILE_DOESNT_EXIST: a part was merged away under a running read
        159,  # TIMEOUT_EXCEEDED
        164,  # READONLY: a table that is about to become writable again
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        425,  # SYSTEM_ERROR
        999,  # KEEPER_EXCEPTION
    }
)
ACCESS_CODES = frozenset(
    {
        192,  # UNKNOWN_USER
        194,  # REQUIRED_PASSWORD
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
SCHEMA_CODES = frozenset(
    {
        8,  # THERE_IS_NO_COLUMN
        10,  # NOT_FOUND_COLUMN_IN_BLOCK
        16,  # NO_SUCH_COLUMN_IN_TABLE
        47,  # UNKNOWN_IDENTIFIER
        53,  # TYPE_MISMATCH
        60,  # UNKNOWN_TABLE
        81,  # UNKNOWN_DATABASE
    }
)
ROW_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        36,  # BAD_ARGUMENTS: of a function that a view or a merge calls
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
"""Some row of an insert is at fault, when the table is as we made it."""

NAMES_ONLY_CODES = frozenset({8, 10, 16, 47, 53, 60, 81})
"""Their texts name columns and types; the text of any other code may hold a value of a row."""

MESSAGE_MAX_CHARS = 300


class Fate(StrEnum):
    """What to do about an error of ClickHouse."""

    RETRY = "retry"
    STOP_ACCESS = "stop_access"
    STOP_SCHEMA = "stop_schema"
    ROWS = "rows"
    DEFECT = "defect"


class ClickHouseAway(Unavailable):
    """It does not answer, or says that it cannot now.

    Args:
        where: what was done.
        found: its code and name, or `no answer`; few different ones.
    """

    def __init__(self, where: str, found: str) -> None:
        super().__init__(f"ClickHouse, {where}: {found}")
        self.found = found


class RowsRefused(FleetpulseError):
    """Some row of an insert is at fault, or the table that it goes to.

    Args:
        where: what was done.
        found: its code and name, without any value.
    """

    def __init__(self, where: str, found: str) -> None:
        super().__init__(f"ClickHouse, {where}: {found}")
        self.found = found


def fate_of(code: int | None, *, is_transport: bool) -> Fate:
    """Classify an error.

    Args:
        code: ClickHouse's number; None when the engine did not answer.
        is_transport: the request or its answer may have been lost on the way.

    >>> fate_of(252, is_transport=False), fate_of(516, is_transport=False)
    (<Fate.RETRY: 'retry'>, <Fate.STOP_ACCESS: 'stop_access'>)
    """
    if code in ACCESS_CODES:
        return Fate.STOP_ACCESS
    if code in SCHEMA_CODES:
        return Fate.STOP_SCHEMA
    if code in ROW_CODES:
        return Fate.ROWS
    if code in RETRY_CODES or (code is None and is_transport):
        return Fate.RETRY
    return Fate.DEFECT


def fleetpulse_error(
    where: str, code: int | None, name: str | None, message: str, *, is_transport: bool
) -> FleetpulseError | None:
    """Return our error for one of ClickHouse, or None when it is a defect of ours.

    Args:
        where: what was done, such as `insert into windows`.
        code: ClickHouse's number, if it answered.
        name: its symbolic name.
        message: its text; only quoted when it cannot hold a value.
        is_transport: the request or its answer may have been lost on the way.
    """
    found = f"code {code} {name or ''}".strip() if code is not None else "no answer"
    fate = fate_of(code, is_transport=is_transport)
    if fate is Fate.RETRY:
        return ClickHouseAway(where, found)
    if fate is Fate.ROWS:
        return RowsRefused(where, found)
    if fate is Fate.STOP_ACCESS:
        return SettingsError(
            f"clickhouse ({where})",
            value=found,
            allowed="a user that may do this",
            cure="set FLEETPULSE_CLICKHOUSE__USERNAME and FLEETPULSE_CLICKHOUSE__PASSWORD, "
            "or grant the right",
        )
    if fate is Fate.STOP_SCHEMA:
        text = _one_line(message) if code in NAMES_ONLY_CODES else found
        return SettingsError(
            f"clickhouse ({where})",
            value=text,
            allowed="the tables as schemas/clickhouse makes them",
            cure="undo the change of the table, or load into a new database",
        )
    return None


def not_clickhouse(where: str, status: int) -> SettingsError:
    """Return our error for an HTTP answer that no ClickHouse gives."""
    return SettingsError(
        f"clickhouse ({where})",
        value=f"HTTP status {status} without a code of ClickHouse",
        allowed="the HTTP interface of a ClickHouse server",
        cure="set FLEETPULSE_CLICKHOUSE__HOST and FLEETPULSE_CLICKHOUSE__PORT",
    )


def _one_line(message: str) -> str:
    return " ".join(message.split())[:MESSAGE_MAX_CHARS]
