"""`fleetpulse dead-letters`: look at refused messages, and send them again after a fix.

What a command needs is imported inside of it, so that `--help` answers at once.
"""

import re
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import Reason, SettingsError

if TYPE_CHECKING:
    from jobs.dead_letters_replay import ReplayAccount
    from sinks.dead_letter_summary import LetterFilter

LIST_MAX_COUNT = 10_000
POSITION = re.compile(r"([0-9]{1,10})/([0-9]{1,18})")

app = typer.Typer(
    help="Look at refused messages, and send them again after a fix.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ListFormat(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"


ReasonOption = Annotated[str | None, typer.Option("--reason", help="Such as avro_invalid.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="From then on: 30m, 1h, 7d ago, or RFC 3339.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Before then: 30m, 1h, 7d ago, or RFC 3339.")
]
TopicOption = Annotated[
    str | None, typer.Option("--topic", help="That the message came from, such as telemetry.")
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="That the message's key, or its topic, names.")
]


@app.command("list")
def list_(
    context: typer.Context,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    topic: TopicOption = None,
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX_COUNT, help="The newest.")] = 50,
    output: Annotated[
        ListFormat, typer.Option("--format", help="json: one object a line.")
    ] = ListFormat.TABLE,
) -> None:
    """List refused messages, the newest last: where they came from, why, sent again or not.

    Example: fleetpulse dead-letters list --since 1h --reason schema_unknown

    Example: fleetpulse dead-letters list --tenant acme --format json
    """
    from jobs.dead_letters_list import json_lines, letter_frame, list_letters
    from jobs.query_view import OutputFormat, print_frame

    settings = _settings(context)
    wanted = _filter(settings, reason=reason, since=since, until=until, topic=topic, tenant=tenant)
    listed = list_letters(settings.kafka, wanted, limit)
    if output is ListFormat.JSON:
        for line in json_lines(listed):
            typer.echo(line)
    else:
        print_frame(letter_frame(listed), OutputFormat.TABLE, ["dead-letters", "list"])
    more = listed.matching_count - len(listed.letters)
    if more:
        typer.echo(f"{more:,} older ones are not shown; --limit shows more", err=True)


@app.command()
def show(
    context: typer.Context,
    position: Annotated[str, typer.Argument(help="PARTITION/OFFSET, as in the list.")],
    out: Annotated[Path | None, typer.Option(help="Write the original bytes there.")] = None,
) -> None:
    """Show one refused message: all headers, the first 256 bytes, the record if it decodes.

    Example: fleetpulse dead-letters show 2/17 --out message.bin
    """
    from jobs.dead_letters_show import show_letter

    found = POSITION.fullmatch(position)
    if found is None:
        cure = "take a position from `fleetpulse dead-letters list`"
        raise SettingsError("POSITION", value=position, allowed="PARTITION/OFFSET", cure=cure)
    for line in show_letter(_settings(context), int(found[1]), int(found[2]), out):
        typer.echo(line)


@app.command()
def replay(
    context: typer.Context,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    topic: TopicOption = None,
    tenant: TenantOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
    max_attempts: Annotated[
        int, typer.Option(min=1, max=1000, help="Sent again so often, a message is parked.")
    ] = 3,
) -> None:
    """Send refused messages again to where they came from, each once however often it is called.

    Fix the cause first. What fails again comes back as a new dead letter with its number of
    attempts. A second replay that is started meanwhile ends the first.

    Example: fleetpulse dead-letters replay --reason schema_unknown --since 1d --dry-run

    Example: fleetpulse dead-letters replay --tenant acme --limit 1000
    """
    from jobs.dead_letters_replay import ReplayOptions, replay_letters

    settings = _settings(context)
    wanted = _filter(settings, reason=reason, since=since, until=until, topic=topic, tenant=tenant)
    options = ReplayOptions(wanted, limit, max_attempts, dry_run)
    account = replay_letters(settings, options, lambda line: typer.echo(line, err=True))
    for line in account_lines(account, is_dry_run=dry_run):
        typer.echo(line)


def account_lines(account: "ReplayAccount", *, is_dry_run: bool) -> list[str]:
    """Return what a replay did, or would do, by reason and topic."""
    from schemas.printable import printable

    verb = "would be sent" if is_dry_run else "sent"
    sent = [
        f"{count:,} {verb} to {printable(topic, 250)} ({printable(reason, 40)})"
        for (reason, topic), count in sorted(account.sent.items())
    ]
    hindered = [f"{count:,} {why}" for why, count in sorted(account.hindered.items())]
    more = ["there are more: --limit is reached"] if account.is_at_limit else []
    return [*(sent or [f"nothing {verb}"]), *hindered, *more]


def _settings(context: typer.Context) -> Any:
    from jobs.settings import load_settings

    return load_settings(**context.obj)


def _filter(
    settings: Any,
    *,
    reason: str | None,
    since: str | None,
    until: str | None,
    topic: str | None,
    tenant: str | None,
) -> "LetterFilter":
    """Return what the options mean, counted from now.

    Raises:
        SettingsError: an option has a value that is not allowed.
    """
    from jobs.instants import instant_ms
    from sinks.dead_letter_summary import LetterFilter

    if reason is not None and reason not in list(Reason):
        allowed = ", ".join(Reason)
        raise SettingsError("--reason", value=reason, allowed=allowed, cure="choose one of them")
    now_ms = int(time.time() * 1000)
    return LetterFilter(
        prefix=settings.kafka.topic_prefix,
        reason=reason,
        topic=topic,
        tenant=tenant,
        since_ms=None if since is None else instant_ms("--since", since, now_ms),
        until_ms=None if until is None else instant_ms("--until", until, now_ms),
    )
