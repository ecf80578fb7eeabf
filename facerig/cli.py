"""The command line: finds the commands under `facerig/commands`, and turns errors into one line and an exit code.

A command is a module of that folder with `register(app)`; nothing else needs to know of it. Exit codes are those of
facerig/errors.py: 0 done, 2 a bad option, 3 bad input, 4 a missing extra, 5 cannot write, 6 model, 7 service, 1 a
fault of ours, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import sys

import typer
from typer.exceptions import TyperException

import facerig.commands
from facerig.errors import INTERRUPTED, STOPPED, FacerigError, failed

HELP = """Speech in, a living face out.

Try: facerig animate voice.wav -o voice.csv      (Live Link Face CSV; .npz, .json and more by suffix)

Pages named docs/... lie in facerig's source tree, not in the installed package.

Exit codes: 0 done, 2 bad option, 3 bad input, 4 missing extra, 5 cannot write, 6 model, 7 service, 130 interrupted."""


def application() -> typer.Typer:
    """The app with every command that is installed."""
    app = typer.Typer(name="facerig", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False,
                      context_settings={"help_option_names": ["-h", "--help"]})
    app.callback(help=HELP)(_global_options)
    for module in sorted(pkgutil.iter_modules(facerig.commands.__path__), key=lambda found: found.name):
        if module.name.startswith("_"):  # what commands share
            continue
        importlib.import_module(f"facerig.commands.{module.name}").register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(facerig.__version__)
        raise typer.Exit


def _global_options(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_print_version, help="Print the version."),
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point: run, and leave with the documented exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show stops nothing
    raise SystemExit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line; whatever goes wrong is one line on stderr."""
    try:
        result = typer.main.get_command(application()).main(arguments, prog_name="facerig", standalone_mode=False)
        print(end="", flush=True)  # here, and not at exit, it shows that the reader went away
        if result == INTERRUPTED:  # typer turns Ctrl-C into this code, without a word
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except FacerigError as error:
        return failed(str(error), error.exit_code)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the message is the help text itself
            print(error.format_message())
            return 2
        asked = getattr(getattr(error, "ctx", None), "command_path", "facerig")
        return failed(f"{error.format_message()} (see {asked} --help)", 2)
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort, EOFError):
        return failed(STOPPED, INTERRUPTED)
    except BrokenPipeError:
        return _unread()
    except SystemExit as leaving:  # how typer and rich leave, with 1, where the reader went away
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        return _unread()
    except MemoryError:
        return failed("out of memory: give smaller input, or fewer jobs at once", 1)
    except Exception as error:
        if os.environ.get("FACERIG_DEBUG"):
            raise
        return failed(f"a fault of facerig's own: {type(error).__name__}: {error}; FACERIG_DEBUG=1 shows where. "
                     "Please report it", 1)


def _unread() -> int:
    """The reader has what it wanted (`| head`): no mistake. What is still to be flushed at exit goes nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0
