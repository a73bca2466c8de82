"""Files that are no Python: schemas are documented, nothing names one machine or one registry."""

import json
import re
from pathlib import Path

import pytest

from tests.tidy.exemptions import assert_only_exempt
from tests.tidy.source_tree import ROOT, repository_files

SCHEMAS = sorted((ROOT / "schemas" / "avro").glob("*.avsc"))

# Written in two parts, so that this file does not break the rule that it checks.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:home/\w+|wo" + r"rk/\w+|root/\w+)"),
    "a registry's host": re.compile(
        r"pypi\." + r"org|pythonhosted\." + r"org|repo1?\.maven\." + r"(?:apache\.)?org|"
        r"registry\.npmjs\." + r"org|search\.maven\." + r"org|proxy\.golang\." + r"org"
    ),
}
BINARY_SUFFIXES = {".png", ".gif", ".jpg", ".ico", ".arrow", ".bin", ".gz", ".zip"}


def named_nodes(node):
    """Yield every record and field of a schema with its name."""
    if isinstance(node, list):
        for item in node:
            yield from named_nodes(item)
    if isinstance(node, dict):
        is_record = node.get("type") in ("record", "enum")
        is_field = "name" in node and "type" in node and node["type"] != "fixed"
        if is_record or is_field:
            yield node["name"], node
        for value in node.values():
            yield from named_nodes(value)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in SCHEMAS])
def test_every_record_and_field_of_a_schema_has_a_doc_and_the_record_our_namespace(path):
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["namespace"] == "fleetpulse.v1"
    nodes = list(named_nodes(schema))
    assert len(nodes) > 1
    bare = {f"{path.name}: {name}" for name, node in nodes if not node.get("doc", "").strip()}
    assert_only_exempt("avsc_doc", bare)


def test_the_schemas_are_found():
    assert len(SCHEMAS) >= 5


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names_one_machine_or_one_package_registry(what):
    found = {
        f"{path}: {hit.group()}"
        for path in repository_files()
        if path.suffix not in BINARY_SUFFIXES
        for hit in FORBIDDEN[what].finditer((ROOT / path).read_text(encoding="utf-8"))
    }
    assert_only_exempt("text", found)


def test_the_search_finds_what_it_looks_for():
    machine, registry = FORBIDDEN.values()
    assert machine.search("cd /ho" + "me/me/x")
    assert not machine.search("$HOME/.cache and a/home/b")
    assert registry.search("https://py" + "pi.org/simple")


def test_no_compiled_or_large_file_is_in_the_repository():
    suffixes = {".jar", ".whl", ".pyc", ".so", ".class"}
    assert not [path for path in repository_files() if path.suffix in suffixes]
    large = [path for path in repository_files() if (ROOT / path).stat().st_size > 1_000_000]
    assert large == [], f"files over 1 MB: {[Path(p) for p in large]}"
