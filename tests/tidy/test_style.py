"""Lengths, names, prints, and reasons beside each suppressed warning."""

import ast
import io
import re
import tokenize
from pathlib import Path

from tests.tidy.exemptions import assert_only_exempt
from tests.tidy.source_tree import (
    PACKAGES,
    called_names,
    functions,
    modules,
    text_of,
    tree_of,
)

FILE_MAX_LINES = 300
FUNCTION_MAX_LINES = 60
BANNED_IN_CLASSES = re.compile(r"Manager|Helper|Util|Processor|Handler|^My[A-Z]")
BANNED_VARIABLES = {"info", "tmp", "data", "foo", "temp", "obj", "val"}
PRINTING = {"jobs/clock_service.py", "jobs/jar_fetch.py", "jobs/loader_service.py"}
PRINTING |= {"jobs/schema_check.py", "jobs/submit.py", "jobs/replay_submit.py"}
PRINTING |= {"benchmarks/measure_codec.py"}
PRINTING |= {"benchmarks/measure_freshness.py", "benchmarks/measure_loader.py"}
PRINTING |= {"benchmarks/measure_queries.py", "benchmarks/measure_alerts.py"}
PRINTING |= {"benchmarks/measure_rules.py", "benchmarks/measure_canary.py"}
PRINTING |= {"benchmarks/measure_quality.py", "benchmarks/measure_drift_job.py"}
PRINTING |= {"benchmarks/measure_contact_steps.py", "benchmarks/measure_aggregate_steps.py"}
PRINTING |= {"benchmarks/measure_bad_predictions.py"}
PRINTING |= {"benchmarks/measure_peers.py", "benchmarks/measure_drain.py"}
PRINTING |= {"benchmarks/report.py", "benchmarks/sustained_rate.py"}
PRINTING |= {"benchmarks/measure_drift.py", "benchmarks/measure_quick.py"}
PRINTING |= {"benchmarks/measure_fleet_gate.py"}
"""Processes that a person starts: what they did, or why not, is one line."""

SUPPRESSION = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)"
)


def test_no_file_is_longer_than_300_lines():
    found = {
        str(path)
        for path in modules(*PACKAGES, "tests")
        if len(text_of(path).splitlines()) > FILE_MAX_LINES
    }
    assert_only_exempt("file_length", found)


def test_no_function_is_longer_than_60_lines():
    found = {
        f"{path}: {function.name}"
        for path in modules(*PACKAGES, "tests")
        for function in functions(path)
        if function.end_lineno - function.lineno + 1 > FUNCTION_MAX_LINES
    }
    assert_only_exempt("function_length", found)


def bad_names(path: Path) -> set[str]:
    nodes = list(ast.walk(tree_of(path)))
    classes = {n.name for n in nodes if isinstance(n, ast.ClassDef)}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    arguments = {n.arg for n in nodes if isinstance(n, ast.arg)}
    stem = {path.stem} & {"utils", "helpers", "common", "misc", "util"}
    banned = {name for name in classes if BANNED_IN_CLASSES.search(name)}
    return banned | ((stored | arguments) & BANNED_VARIABLES) | stem


def test_every_name_says_what_it_names():
    found = {f"{path}: {name}" for path in modules(*PACKAGES) for name in bad_names(path)}
    assert_only_exempt("name", found)


def test_nothing_prints_but_what_talks_to_a_person():
    callers = {str(path) for path in modules(*PACKAGES) if "print" in called_names(path)}
    assert not PRINTING - callers, f"prints no longer, remove: {sorted(PRINTING - callers)}"
    assert_only_exempt("print", callers - PRINTING)


def comments(path: Path) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(text_of(path)).readline)
    return [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]


def unreasoned(path: Path) -> set[str]:
    """Return the comments that suppress a warning and do not say why."""
    return {
        f"{path}: {text}"
        for _, text in comments(path)
        if SUPPRESSION.search(text) and not re.search(r"\w{3}", SUPPRESSION.sub("", text))
    }


def test_every_suppressed_warning_has_its_reason_beside_it():
    found = {each for path in modules(*PACKAGES, "tests") for each in unreasoned(path)}
    assert_only_exempt("suppression", found)


def test_no_test_sleeps_or_mocks():
    found = {
        f"{path}: {name}"
        for path in modules("tests")
        for name in called_names(path)
        if name in {"mock", "MagicMock", "Mock"} or name.startswith("unittest.mock")
    }
    assert found == set()


def shared_frames(tree: ast.Module) -> set[str]:
    """Return the calls that build a frame or a series when the module is loaded."""
    outside = [n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {
        id(node)
        for top in outside
        for function in ast.walk(top)
        if isinstance(function, ast.FunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    return {
        ast.unparse(node.func)
        for top in outside
        for node in ast.walk(top)
        if isinstance(node, ast.Call)
        and id(node) not in inside
        and ast.unparse(node.func) in {"pl.DataFrame", "pl.Series", "pl.concat"}
    }


def test_no_frame_is_shared_by_threads_as_a_constant():
    # Polars locks a frame without the interpreter's lock: two operators in one worker deadlocked.
    assert {str(path) for path in modules(*PACKAGES) if shared_frames(tree_of(path))} == set()


def test_the_search_for_shared_frames_finds_one():
    assert shared_frames(ast.parse("NONE = pl.DataFrame()\nMAKE = lambda: pl.Series()"))
    assert not shared_frames(ast.parse("def none():\n    return pl.DataFrame()"))
