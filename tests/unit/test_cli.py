import subprocess
import sys

import pytest
from typer.testing import CliRunner

from jobs.cli import app

COMMANDS = ["up", "down", "status", "simulate", "submit", "stop", "load", "query", "explain"]
COMMANDS += ["doctor"]


def fleetpulse(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_says_what_it_does_with_an_example(command):
    answer = CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0
    assert "Example: fleetpulse" in answer.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from jobs.cli import app;"
        "CliRunner().invoke(app, ['up', '--help']);"
        "heavy = {'pyflink', 'confluent_kafka', 'polars', 'chdb', 'jobs.settings'};"
        "heavy &= set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--set", "kafka.partition_count=0", "status"], "kafka.partition_count"),
        (["--set", "kafka.partitions=1", "status"], "kafka.partitions"),
        (["--set", "nonsense", "status"], "--set"),
        (["--settings", "/no/such/file.toml", "status"], "FLEETPULSE_SETTINGS_FILE"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(arguments, named):
    answer = fleetpulse(*arguments)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"fleetpulse: {named} = ")
    assert "cure: " in line


def test_down_without_a_stack_says_so(tmp_path):
    answer = fleetpulse("--set", f"stack.data_dir={tmp_path}", "down")
    assert (answer.returncode, answer.stdout) == (0, "nothing was running\n")
