"""The console script: what it lists, how its commands end, and that it loads no more than the command needs."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.commands.main import COMMANDS, main

Arguments = Callable[[str], list[str]]


@pytest.fixture
def arguments(trained: Path, tmp_path: Path) -> Arguments:
    """`arguments(command)` -> what it does not fail at for long: cheap to run in a process of its own."""
    nowhere = str(tmp_path / "nowhere")
    cheap = {
        "report": [str(trained)],
        "compare": [str(trained), nowhere],
        "verdict": [str(trained), nowhere, "--metric", "final_val_auc", "--sesoi", "1"],
        "export": ["csv", nowhere, str(tmp_path / "out")],
        "status": [str(trained)],
        "doctor": ["--cluster", nowhere],
        "replay": [str(trained), "t99999"],
    }
    return cheap.__getitem__


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_alone_it_lists_the_commands_after_an_example(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  koleo-sweeps report results/NAME ")
    listed = [line.split(maxsplit=1) for line in lines[lines.index("commands:") + 1 :]]
    assert {name: what.strip() for name, what in listed} == COMMANDS


def test_every_module_with_a_main_is_a_command() -> None:
    folder = Path(__file__).parents[3] / "sweeps" / "commands"
    found = set()
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text())
        found |= {file.stem for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"}
    assert found - {"main"} == set(COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", "results/NAME"]) == 2
    error = capsys.readouterr().err
    known = "compare, doctor, export, replay, report, status, verdict"
    assert error == f"Unknown command `stats`. Did you mean `status`? Known: {known}.\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_starts_with_an_example_and_ends_with_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"examples:\n  koleo-sweeps {command} ")
    assert text.index("examples:") < text.index("usage:") < text.index("exit codes:\n  0   ")
    assert text.splitlines()[-1].startswith("  2   ")
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"doctor"}))  # which needs no argument
def test_faults_of_a_command_line_are_a_line_each(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 2
    missing = capsys.readouterr().err
    assert missing.startswith("The following arguments are required: ")
    assert f"`koleo-sweeps {command} --help`" in missing
    assert missing.count("\n") == 1
    assert main([command, "t00000", "--hlep", "--nonsense=1"]) == 2
    near, far = capsys.readouterr().err.splitlines()
    assert near.startswith("Unknown flag `--hlep`. Did you mean `--help`? Known: ")
    assert far.startswith("Unknown flag `--nonsense`. Known: ")


def test_an_argument_too_many_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "results/A", "results/B"]) == 2
    assert capsys.readouterr().err == "Unexpected argument `results/B`.\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_a_module_run_by_name_is_the_same_command(
    command: str, arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(sys.executable, "-m", f"sweeps.commands.{command}", *arguments(command))
    assert main([command, *arguments(command)]) == done.returncode == {"report": 0, "status": 0}.get(command, 2)
    assert capsys.readouterr() == (done.stdout, done.stderr)
    assert (done.stdout + done.stderr).count("\n") == 1 or command == "status"


def test_the_installed_script_is_the_same(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(sys.executable).with_name("koleo-sweeps")
    if not script.exists():
        pytest.skip(f"{script} is not there: install the project with `pip install --editable .`")
    done = run(str(script), "status", str(trained))
    assert main(["status", str(trained)]) == done.returncode == 0
    assert capsys.readouterr() == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("command", "unloaded"),
    [
        ("", "ray torch optuna matplotlib pyarrow numpy sweeps.analysis"),
        ("status", "ray torch optuna matplotlib"),
        ("report", "ray torch optuna sklearn"),
        ("compare", "ray torch optuna sklearn"),
        ("verdict", "ray torch optuna matplotlib"),
        ("export", "ray torch optuna matplotlib scipy"),
        ("doctor", "ray torch optuna matplotlib pandas"),
    ],
)
@pytest.mark.slow
def test_only_what_the_command_needs_is_loaded(command: str, unloaded: str, arguments: Arguments) -> None:
    code = (
        "import sys; from sweeps.commands.main import main; main(sys.argv[2:]);"
        "loaded = set(sys.argv[1].split()) & set(sys.modules); sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    argv = [command, *arguments(command)] if command else []
    done = run(sys.executable, "-c", code, unloaded, *argv)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_help_waits_for_nothing_that_takes_seconds_to_load(command: str) -> None:
    code = (
        "import sys, atexit; from sweeps.commands.main import main;"
        "atexit.register(lambda: print(*sorted({'ray', 'torch', 'optuna', 'matplotlib', 'scipy'} & set(sys.modules))));"
        "main([sys.argv[1], '--help'])"
    )
    done = run(sys.executable, "-c", code, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("standard error\n\n"), done.stdout.splitlines()[-1]
