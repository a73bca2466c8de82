"""`fleetpulse query`: the stored tables, for people on call.

What the command needs is imported inside of it, so that `--help` answers at once.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import SettingsError

if TYPE_CHECKING:
    from jobs.query_answers import Answer
    from jobs.query_request import Asked
    from jobs.settings import Settings

SinceOption = Annotated[
    str | None, typer.Option("--since", help="From then on: 30m, 2h, 7d ago, or RFC 3339.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Before then: 30m, 2h, 7d ago, or RFC 3339.")
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="Of device, groups, models, drift.")
]
GroupOption = Annotated[
    str | None, typer.Option("--group", help="Of fleet, alerts, history, groups, models.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Of fleet, groups, models.")]
SeverityOption = Annotated[
    str | None,
    typer.Option("--severity", help="Of alerts, history: info, warning, critical or emergency."),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="Of alerts, history.")]


TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only the rows of this tenant.")]
LimitOption = Annotated[int, typer.Option(min=1, max=100_000, help="Rows of a question by name.")]
FormatOption = Annotated[
    str, typer.Option("--format", help="table, json (one object a line), csv or svg.")
]
QuestionArgument = Annotated[
    list[str],
    typer.Argument(
        help="fleet, alerts, history [TEXT], device ID, groups, models, drift, usage, "
        "accounts, or one SELECT."
    ),
]


def query(
    context: typer.Context,
    question: QuestionArgument,
    tenant_id: TenantOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    metric: MetricOption = None,
    group: GroupOption = None,
    model: ModelOption = None,
    severity: SeverityOption = None,
    device: DeviceOption = None,
    limit: LimitOption = 100,
    output: FormatOption = "table",
) -> None:
    """Ask the stored tables, also while the loader runs; nothing can be changed.

    A question about a stretch of time is answered from raw points, windows, hours or days, by its
    length and by what is kept; the answer says which. Times are UTC. With json and csv, what is
    said beside the rows goes to the standard error.

    \b
    Example: fleetpulse query fleet
    Example: fleetpulse query alerts --tenant demo --severity critical
    Example: fleetpulse query history battery north --since 7d
    Example: fleetpulse query device cam-00007 --metric temperature_c --since 6h
    Example: fleetpulse query groups --group stable-a --since 2d
    Example: fleetpulse query models --metric inference_latency_milliseconds --since 24h
    Example: fleetpulse query drift
    Example: fleetpulse query usage --format json
    Example: fleetpulse query "SELECT * FROM v_device_5m LIMIT 5" --format csv
    """  # noqa: D301 - the mark keeps the lines below it apart, and is no text
    from jobs.query_request import Option, named_request
    from jobs.query_view import OutputFormat, print_answer
    from jobs.settings import load_settings

    if output not in list(OutputFormat):
        allowed = ", ".join(OutputFormat)
        raise SettingsError("--format", value=output, allowed=allowed, cure="choose one of them")
    given: dict[Option, str | None] = {
        Option.SINCE: since,
        Option.UNTIL: until,
        Option.METRIC: metric,
        Option.GROUP: group,
        Option.MODEL: model,
        Option.SEVERITY: severity,
        Option.DEVICE: device,
    }
    asked = named_request(question, given, tenant_id, limit)
    settings = load_settings(**context.obj)
    print_answer(_answer(settings, question, asked, tenant_id), OutputFormat(output), question)


def _answer(
    settings: "Settings", question: list[str], asked: "Asked | None", tenant_id: str | None
) -> "Answer":
    from jobs.query import asking
    from jobs.query_answers import Answer, Lengths, answer_named

    lengths = Lengths(
        settings.windows.device_window_s * 1000, settings.windows.group_window_s * 1000
    )
    with asking(settings, tenant_id) as ask:
        if asked is None:
            return Answer(ask(" ".join(question)))
        return answer_named(ask, asked, lengths, now_ms=int(time.time() * 1000))
