"""`fleetpulse control`: maintenance, mutes, acknowledgements, goodbyes and rules, as they are sent.

What a command needs is imported inside of it, so that `--help` answers at once.
"""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import SettingsError

if TYPE_CHECKING:
    from schemas.control import ControlEvent

LIST_MAX_COUNT = 10_000

app = typer.Typer(
    help="Plan maintenance and mutes, take episodes on, change rules while the engine runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TenantOption = Annotated[str, typer.Option("--tenant", help="Whose devices.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="Only this one.")]
GroupOption = Annotated[str | None, typer.Option("--group", help="Only this deployment group.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="Only this site.")]
FromOption = Annotated[
    str,
    typer.Option("--from", help="First instant: RFC 3339, or +2h from now; now when not given."),
]
UntilOption = Annotated[
    str, typer.Option("--until", help="Instant after the last: RFC 3339, or +2h from now.")
]


class ListFormat(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"


@app.command()
def maintenance(
    context: typer.Context,
    tenant: TenantOption,
    until: UntilOption,
    from_: FromOption = "+0s",
    device: DeviceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
) -> None:
    """Excuse silence for a time: nobody in it turns warning or critical, nor counts as missing.

    Takes the place of an earlier maintenance of the very same tenant, device, group or site.

    Example: fleetpulse control maintenance --tenant acme --site paris --until +2h
    """
    scope = _scope(tenant, device, group, site)
    _send_span(context, "maintenance", scope, from_, until)


@app.command()
def mute(
    context: typer.Context,
    tenant: TenantOption,
    until: UntilOption,
    from_: FromOption = "+0s",
    device: DeviceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
) -> None:
    """Tell nobody for a time; events go out and devices count as before.

    Takes the place of an earlier mute of the very same tenant, device, group or site.

    Example: fleetpulse control mute --tenant acme --device cam-7 --until 2026-01-01T12:00:00Z
    """
    scope = _scope(tenant, device, group, site)
    _send_span(context, "mute", scope, from_, until)


@app.command()
def ack(
    context: typer.Context,
    episode_id: Annotated[str, typer.Argument(help="episode_id of an alert.")],
) -> None:
    """Take an episode on.

    Example: fleetpulse control ack 0c3a5d1e-7f0b-5a51-9d4e-2f8a1c6b7e90
    """
    from jobs.control_request import typed_event

    _send(context, [typed_event({"type": "ack", "episode_id": episode_id})])


@app.command()
def goodbye(
    context: typer.Context,
    tenant: TenantOption,
    back: Annotated[
        str, typer.Option("--back", help="When they are expected: RFC 3339, or +2h from now.")
    ],
    device: DeviceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
) -> None:
    """Say that devices leave on purpose: their silence counts from when they are expected back.

    Example: fleetpulse control goodbye --tenant acme --device cam-7 --back +8h
    """
    from jobs.control_request import later_ms, typed_event

    back_ms = later_ms("--back", back, _now_ms())
    scope = _scope(tenant, device, group, site)
    _send(context, [typed_event({"type": "goodbye", "scope": scope, "expected_back": back_ms})])


@app.command()
def accept(
    context: typer.Context,
    tenant: TenantOption,
    metric: Annotated[list[str], typer.Option("--metric", help="Which one; may be repeated.")],
    device: DeviceOption = None,
    group: GroupOption = None,
) -> None:
    """Take what a metric does now for normal: its drift is over, and a new baseline is learned.

    Example: fleetpulse control accept --tenant acme --group line-3 --metric power_w
    """
    from jobs.control_request import typed_event

    # Windows do not say of which site a device is.
    scope = _scope(tenant, device, group, None)
    kind = {"type": "accept_new_normal", "scope": scope}
    _send(context, [typed_event(kind | {"metric": each}) for each in metric])


@app.command()
def rule(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="JSON: one rule or a list of them; - is stdin.")],
) -> None:
    """Set rules about silence or thresholds; all of a file are checked before the first is sent.

    One about silence acts from when it was sent; one with a metric is judged on windows that begin
    2 min later, or after that.

    A rule takes the place of the one with its tenant and rule_id; "enabled": false switches it off.

    Example: fleetpulse control rule rules.json
    """
    from jobs.control_request import RULES_MAX_BYTES, rules_of

    if file == "-":
        content = sys.stdin.buffer.read(RULES_MAX_BYTES + 1)
    else:
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(RULES_MAX_BYTES + 1)
        except OSError as error:
            raise SettingsError(
                "FILE", value=file, allowed="a file that can be read", cure=f"{error.strerror}"
            ) from error
    _send(context, rules_of("stdin" if file == "-" else file, content))


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option(min=1, max=LIST_MAX_COUNT, help="At most so many, active ones first.")
    ] = 200,
    output: Annotated[
        ListFormat, typer.Option("--format", help="json: one object a line.")
    ] = ListFormat.TABLE,
) -> None:
    """List what was sent: what is active, planned, disabled or over.

    Example: fleetpulse control list --format json
    """
    from jobs.control_list import by_state, control_table, json_lines, list_controls
    from jobs.query_view import OutputFormat, print_frame

    found, now_ms = list_controls(_settings(context)), _now_ms()
    listed = by_state(found, now_ms)[:limit]
    if output is ListFormat.JSON:
        for line in json_lines(listed, now_ms):
            typer.echo(line)
    else:
        print_frame(control_table(listed, now_ms), OutputFormat.TABLE, ["control", "list"])
    if len(found) > limit:
        typer.echo(f"{len(found) - limit:,} more are not shown; --limit shows more", err=True)


@app.command()
def end(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="As in the list.")],
) -> None:
    """End what was sent: a span or a goodbye is over, a rule is off, and it leaves the list.

    An ack cannot be taken back: it only leaves the list.

    Example: fleetpulse control end acme/site/paris/maintenance
    """
    from jobs.control_list import require_endable
    from jobs.control_sender import send_end
    from schemas.instants import format_instant
    from schemas.printable import printable

    settings = _settings(context)
    require_endable(settings, key)
    sent = send_end(settings, key)
    typer.echo(f"ended {printable(key)}, from {format_instant(sent.append_time_ms)} on")


def _scope(
    tenant: str, device: str | None, group: str | None, site: str | None
) -> dict[str, str | None]:
    return {"tenant_id": tenant, "device_id": device, "deployment_group": group, "site": site}


def _send_span(
    context: typer.Context, kind: str, scope: dict[str, str | None], from_: str, until: str
) -> None:
    from jobs.control_request import later_ms, planned_ms, typed_event

    now_ms = _now_ms()
    fields = {
        "type": kind,
        "scope": scope,
        "from": planned_ms("--from", from_, now_ms),
        "until": later_ms("--until", until, now_ms),
    }
    _send(context, [typed_event(fields)])


def _send(context: typer.Context, events: "list[ControlEvent]") -> None:
    from jobs.control_list import sent_line
    from jobs.control_sender import send_events

    sent = send_events(_settings(context), events)
    for event, one in zip(events, sent, strict=True):
        typer.echo(sent_line(event, one.append_time_ms))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _settings(context: typer.Context) -> Any:
    from jobs.settings import load_settings

    return load_settings(**context.obj)
