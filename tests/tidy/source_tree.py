"""The repository as the tidy tests see it: files, syntax trees, imports."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "udfs", "sinks", "jobs", "benchmarks")
SKIPPED = {".venv", "__pycache__", "build", "dist", "fleetpulse-data", "out"}

LAYER_SUFFIXES = ("_job", "_service", "_operator", "_source", "_topic", "_table", "_writer")
LAYER_SUFFIXES += ("_endpoint", "_function")
"""The suffixes of DESIGN section 3, and Flink's own word for a function that it calls."""


@cache
def modules(*packages: str) -> tuple[Path, ...]:
    """Return the Python files of some packages, relative to the root."""
    found = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return tuple(sorted(p.relative_to(ROOT) for p in found if SKIPPED.isdisjoint(p.parts)))


@cache
def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path), str(path))


@cache
def repository_files() -> tuple[Path, ...]:
    """Return all files of the repository, also those not committed yet, without ignored ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return tuple(Path(line) for line in done.stdout.splitlines() if (ROOT / line).is_file())
    found = (path for path in ROOT.rglob("*") if path.is_file())  # an unpacked archive
    return tuple(
        p.relative_to(ROOT) for p in found if SKIPPED.isdisjoint(p.relative_to(ROOT).parts)
    )


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Return the full names of all that a file imports, at whatever depth it does so."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def top_names(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules(path)}


def is_pure(path: Path) -> bool:
    """Say whether a file is pure by its name: no suffix of a layer, in one of three packages."""
    is_inner = path.parts[0] in {"schemas", "udfs", "sinks"}
    return is_inner and not path.stem.endswith(LAYER_SUFFIXES)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, kinds))


def called_names(path: Path) -> set[str]:
    """Return what a file calls or names by a dotted name, such as `time.time`."""
    dotted = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute))
    plain = (node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name))
    return {ast.unparse(node) for node in dotted} | set(plain)
