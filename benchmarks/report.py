"""One page and one JSON of what the measurements left in a folder.

    python -m benchmarks.report --folder benchmarks/out

    peers.json     side by side         steps.json     what a point costs, step by step
    drain.json     backlog and rate     quick.json     the figures of bench-quick

What was not measured is said to be missing; nothing is measured here.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report_pictures import Row, Tried, draw_bars, draw_trials, shown
from jobs.explain_marks import svg_of
from jobs.explain_page import STYLE

Found = Mapping[str, Any]
SOURCES = {
    "peers": "python -m benchmarks.measure_peers --out benchmarks/out/peers.json",
    "drain": "python -m benchmarks.measure_drain --out benchmarks/out/drain.json",
    "steps": "python -m benchmarks.measure_aggregate_steps --out benchmarks/out/steps.json",
    "quick": "make bench-quick",
}
OWN = "fleetpulse"
PART_OF = "of these: "


def read_all(folder: Path) -> dict[str, Any]:
    """Return the figures of each source that lies in a folder."""
    paths = {name: folder / f"{name}.json" for name in SOURCES}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }


def page_of(found: Found) -> str:
    """Return the page as HTML; it needs no script and nothing from elsewhere."""
    body = []
    for name, section in SECTIONS.items():
        if name in found:
            body += [*section(found[name]), _measured_on(found[name])]
        else:
            body.append(f"<p class=faint>Not measured: {escape(SOURCES[name])}</p>")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Fleetpulse, measured</title><style>{STYLE}</style></head><body><main>",
            "<h1>Fleetpulse, measured</h1>",
            *body,
            "</main></body></html>\n",
        ]
    )


def _peers(found: Found) -> Iterator[str]:
    contenders = found["contenders"]
    for key, name, unit in (
        ("points_per_cpu_s", "Side by side: points a CPU-second", "points"),
        ("points_per_s", "Side by side: points a second of wall time", "points"),
        ("peak_mb", "Most memory of all processes, MB", "MB"),
    ):
        rows = [
            Row(_named(who), of[key]["min"], of[key]["median"], of[key]["max"], is_own=who == OWN)
            for who, of in contenders.items()
        ]
        caption = "Bar: median of the rounds; line: from the least to the most. "
        yield _figure(name, svg_of(draw_bars(name, rows, unit)), caption)
    heads = ("the engine is so many times as fast as", "wall time", "per CPU-second", "points")
    yield _table(
        "Ratios, round by round",
        heads,
        [
            (
                _named(who),
                *(_spread_text(of[key]) for key in ("ratio", "ratio_per_cpu")),
                f"{of['points']:,}",
            )
            for who, of in contenders.items()
            if "ratio" in of
        ],
    )


def _drain(found: Found) -> Iterator[str]:
    drain = found["drain"]
    told = f"{shown(drain['drain_points_per_min'])} points a minute with every job and the loader"
    rows = [Row(name, at_s, at_s, at_s) for name, at_s in sorted(drain["done_after_s"].items())]
    name = "Drain of a backlog: seconds until each had done all"
    yield _figure(name, svg_of(draw_bars(name, rows, "s")), f"{told}. ")
    cpu = [Row(who, spent, spent, spent) for who, spent in drain["cpu_s"].items()]
    name = "Drain of a backlog: CPU-seconds"
    yield _figure(name, svg_of(draw_bars(name, cpu, "s")), f"{drain['points']:,} points. ")
    if "sustained" in found:
        kept = found["sustained"]
        tried = [
            Tried(trial["points_per_min"], trial["growth_s"], trial["is_kept"])
            for trial in kept["trials"]
        ]
        name = f"Rates that were tried for {kept['window_s']:.0f} s each"
        yield _figure(name, svg_of(draw_trials(name, tried)), "Green: kept; red: not kept. ")


def _steps(found: Found) -> Iterator[str]:
    for name, wanted in (
        ("What a point costs the aggregate job, without Flink, CPU us", False),
        ("Within the sums of all shards together, CPU us a point", True),
    ):
        costs = {
            step.removeprefix(PART_OF): cost
            for step, cost in found["us_a_point"].items()
            if step.startswith(PART_OF) is wanted
        }
        rows = [Row(step, cost, cost, cost) for step, cost in costs.items()]
        yield _figure(name, svg_of(draw_bars(name, rows, "us")), "")


def _quick(found: Found) -> Iterator[str]:
    rows = [
        (name, "not measured" if value is None else f"{value:,}")
        for name, value in found["figures"].items()
    ]
    yield _table("Figures of bench-quick", ("figure", "value"), rows)


SECTIONS: Mapping[str, Callable[[Found], Iterator[str]]] = {
    "peers": _peers,
    "drain": _drain,
    "steps": _steps,
    "quick": _quick,
}


def _named(contender: str) -> str:
    return contender.replace("_", " ").replace("flink sql", "Flink SQL,")


def _spread_text(of: Mapping[str, float]) -> str:
    return f"{of['median']:.2f} ({of['min']:.2f} to {of['max']:.2f})"


def _figure(name: str, picture: str, caption: str) -> str:
    return (
        f"<section><h2>{escape(name)}</h2><figure>{picture}"
        f"<figcaption>{escape(caption)}</figcaption></figure></section>"
    )


def _table(name: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = [
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in others)
        + "</tr>"
        for first, *others in rows
    ]
    return (
        f'<section><h2>{escape(name)}</h2><table class="numbers"><thead><tr>{head}</tr></thead>'
        f"{''.join(lines)}</table></section>"
    )


def _measured_on(found: Found) -> str:
    machine = found.get("machine", {})
    said = f"{machine.get('cores')} cores, load {machine.get('load_1_min')}, seed {found['seed']}"
    versions = machine.get("versions", found.get("versions", {}))
    return f"<p class=faint>{escape(said)}; {escape(_versions_text(versions))}</p>"


def _versions_text(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def main() -> None:
    """Write report.html and report.json into the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/out"))
    folder = parser.parse_args().folder
    found = read_all(folder)
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page_of(found), encoding="utf-8")
    print(f"{folder / 'report.html'}: {', '.join(found) or 'nothing was measured'}")


if __name__ == "__main__":
    main()
