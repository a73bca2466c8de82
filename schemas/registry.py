"""The schema registry: every schema is registered there, and unknown ids are asked for there.

A question for an id has three answers: the schema (kept for good), "no such id" (Rejected, asked
again after a while) and no answer (Unavailable, after a bounded number of attempts). Good messages
are never rejected because the registry was down.
"""

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from confluent_kafka.schema_registry import Schema as RegisteredSchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from httpx2 import TransportError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from schemas.errors import Reason, Rejected, SettingsError, Unavailable
from schemas.records import SCHEMA_FILES, Schema, schema_text
from schemas.topics import Topic, subject_name

COMPATIBILITY = "FULL_TRANSITIVE"
"""Old and new readers read old and new messages, over all versions: topics are replayed."""

ATTEMPT_COUNT = 4
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
UNKNOWN_ID_KEPT_S = 30.0
UNKNOWN_ID_MAX_COUNT = 10_000

NO_SUCH_SCHEMA = 40403
"""The registry's own code. A bare 404 comes from a wrong path or a proxy, and condemns nobody."""
HTTP_SERVER_ERROR = 500

Answer = TypeVar("Answer")


class SchemaRegistry:
    """A Confluent-compatible schema registry.

    Args:
        url: its address, with the path of the Confluent interface.
        timeout_s: for one request.
        unknown_id_kept_s: how long an id that the registry did not know is not asked for again.
    """

    def __init__(
        self, url: str, timeout_s: float, unknown_id_kept_s: float = UNKNOWN_ID_KEPT_S
    ) -> None:
        self._url = url
        self._unknown_id_kept_s = unknown_id_kept_s
        # Our own retries name the fate; the client's would multiply with them.
        self._client = SchemaRegistryClient({"url": url, "timeout": timeout_s, "max.retries": 0})
        self._schemas: dict[int, Schema] = {}
        self._unknown_until_s: dict[int, float] = {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def register(self, topic: Topic, prefix: str = "") -> int:
        """Register the schema of a topic's values, FULL_TRANSITIVE, and return its id.

        Raises:
            SettingsError: the registry refuses it; with the registry's reason.
            Unavailable: it does not answer.
        """
        return self.register_text(subject_name(topic, prefix), schema_text(topic))

    def register_text(self, subject: str, text: str) -> int:
        """Register an Avro schema under a subject and return its id; see `register`."""
        schema = RegisteredSchema(text, "AVRO")
        try:
            # The rule comes first: without it the first change would be measured by the default.
            self._ask(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
            return self._ask(lambda: self._client.register_schema(subject, schema))
        except SchemaRegistryError as error:
            raise SettingsError(
                f"schema of {subject}",
                value=f"HTTP {error.http_status_code}",
                allowed=f"what the registry accepts under {COMPATIBILITY} "
                f"(it says: {_one_line(error.error_message)})",
                cure="make the change compatible: new fields need a default, types stay",
            ) from error

    def register_all(self, prefix: str = "") -> dict[Topic, int]:
        """Register the schema of every topic and return the ids; see `register`."""
        return {topic: self.register(topic, prefix) for topic in SCHEMA_FILES}

    def subject_count(self) -> int:
        """Return how many subjects the registry has.

        Raises:
            Unavailable: it does not answer.
        """
        return len(self._ask(self._client.get_subjects))

    def knows(self, schema_id: int) -> bool:
        """Return whether a schema is at hand, so that nobody has to be asked for it."""
        return schema_id in self._schemas

    def schema_by_id(self, schema_id: int) -> Schema:
        """Return the schema of an id.

        Raises:
            Rejected: the registry says that there is no such id.
            Unavailable: it does not answer.
        """
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        if time.monotonic() >= self._unknown_until_s.get(schema_id, 0.0):
            self._fetch(schema_id)
        if schema_id not in self._schemas:
            raise Rejected(Reason.SCHEMA_UNKNOWN, f"the registry has no schema {schema_id}")
        return self._schemas[schema_id]

    def _fetch(self, schema_id: int) -> None:
        try:
            registered = self._ask(lambda: self._client.get_schema(schema_id))
        except SchemaRegistryError as error:
            if error.error_code != NO_SUCH_SCHEMA:
                cause = f"{_one_line(error)}; is registry.url right?"
                raise Unavailable(f"schema registry at {self._url}: {cause}") from error
            self._remember_unknown(schema_id)
        else:
            self._schemas[schema_id] = _avro_schema(registered.schema_str or "")

    def _remember_unknown(self, schema_id: int) -> None:
        if len(self._unknown_until_s) >= UNKNOWN_ID_MAX_COUNT:
            self._unknown_until_s.clear()  # random ids must not fill the memory
        self._unknown_until_s[schema_id] = time.monotonic() + self._unknown_id_kept_s

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask, again after a pause when there is no answer.

        Raises:
            SchemaRegistryError: the registry answers no.
            Unavailable: it does not answer.
        """
        attempts = Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(ATTEMPT_COUNT),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            reraise=True,
        )
        return attempts(lambda: self._ask_once(question))

    def _ask_once(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except (TransportError, ValueError) as error:
            # A ValueError is an answer that is no JSON: whoever answers there is no registry.
            cause = _one_line(error)
            raise Unavailable(f"schema registry at {self._url}: {cause}") from error
        except SchemaRegistryError as error:
            if error.http_status_code >= HTTP_SERVER_ERROR:
                raise Unavailable(f"schema registry at {self._url}: {error}") from error
            raise


def _avro_schema(text: str) -> Schema:
    """Return a schema as the registry has it; of another kind than Avro, one that is refused."""
    try:
        return cast("Schema", json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())[:300]
