"""`wsi-nucssl`: parse, build a configuration, call one public function, print.

Exit codes: 0 ok · 1 bug · 2 usage · 3 some slides failed · 4 unreadable or unsuitable input · 5 output exists,
locked or mismatched · 6 out of disk or memory · 130 Ctrl-C · 143 SIGTERM.
"""

from __future__ import annotations

import copy
import ctypes
import io
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer
from typer.core import TyperCommand

from wsi_nucssl._version import __version__
from wsi_nucssl.doubts import DoubtWarning
from wsi_nucssl.errors import ResourceError, Stopped, WsiNucsslError
from wsi_nucssl.files import disk_error
from wsi_nucssl.locations import local
from wsi_nucssl_cli import (
    benchmark,
    calibrate,
    demo,
    doctor,
    export,
    finetune,
    info,
    models,
    overlay,
    pack,
    plan,
    pretrain,
    propose,
    quantise,
    reproduce,
    segment,
    tile,
    verify,
    view,
)
from wsi_nucssl_cli.display import say_error, say_warning

if TYPE_CHECKING:
    from wsi_nucssl.segment.run import Steps

_M_ARENA_MAX: Final = -8
"""mallopt's number for it (malloc.h of glibc)."""


class _Command(TyperCommand):
    """A command that refuses URLs where only paths will do; of those, `Path` has dropped a slash."""

    def invoke(self, ctx: Any) -> Any:
        """Look at what was typed, then run."""
        for name, value in ctx.params.items():
            for path in value if isinstance(value, Sequence) else (value,):
                if isinstance(path, Path):
                    local(path, name)
        return super().invoke(ctx)


app = typer.Typer(
    name="wsi-nucssl",
    help="Nuclei in whole-slide images: pretrain on your slides, fine-tune on your labels, segment for QuPath.",
    no_args_is_help=True,
    rich_markup_mode=None,  # its tables cut names of options at 80 columns
    context_settings={"max_content_width": 100},
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    demo.demo,
    info.info,
    doctor.doctor,
    models.models,
    plan.plan,
    tile.tile,
    segment.segment,
    export.export,
    overlay.overlay,
    view.view,
    pretrain.pretrain,
    pretrain.probe,
    pretrain.density,
    propose.propose,
    finetune.finetune,
    calibrate.calibrate,
    pack.pack,
    quantise.quantise,
    benchmark.benchmark,
    verify.verify,
    reproduce.reproduce,
):
    app.command(
        _command.__name__,
        cls=_Command,
        epilog=benchmark.METRICS_HELP if _command is benchmark.benchmark else None,
    )(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None: ...


def main(steps: Steps | None = None) -> None:
    """Entry point: run the command line and turn every expected error into one message and its exit code.

    Parameters
    ----------
    steps : Steps, optional
        What `segment` does at each step, where that is not what it usually does.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    _share_one_heap()
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a log file shows each line when it is said, and a name whose bytes are no text is shown somehow
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        _app_of(sys.argv[1:])(obj=steps)
    except Stopped as error:
        say_error(f"{error.what}. Go on with: {_resume_command()}")
        sys.exit(error.exit_code)
    except WsiNucsslError as error:
        say_error(error.message)
        sys.exit(error.exit_code)
    except OSError as error:  # of a disk, where nobody below knew the file better
        known = disk_error(error, error.filename)
        if known is None:
            raise
        say_error(known.message)
        sys.exit(known.exit_code)
    except MemoryError:
        say_error("out of memory. Give fewer --workers or a smaller --batch-size")
        sys.exit(ResourceError.exit_code)


def _app_of(words: Sequence[str]) -> typer.Typer:
    """The app with the one command that these words begin with, if they do: to build all of them takes a while."""
    wanted = [each for each in app.registered_commands if [each.name] == [*words[:1]]]
    if not wanted:
        return app
    alone = copy.copy(app)
    alone.registered_commands = wanted
    return alone


def _share_one_heap() -> None:
    """Let all threads allocate from one heap: glibc's heap of each keeps what another could use, and memory creeps."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Doubts in words; all else as Python shows it."""
    if issubclass(category, DoubtWarning):
        say_warning(str(message))
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


def _stop(number: int, _frame: FrameType | None) -> None:
    """Signals end commands that do not ask for a softer stop (see `runs.stop_requests`)."""
    raise Stopped(number)


def _resume_command() -> str:
    """The present command, so that it goes on: with --resume where it has that, else once more as it is."""
    words = sys.argv[1:]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if any(option.name == "resume" for option in commands[words[0]].params):
        words = [*(word for word in words if word not in ("--overwrite", "--resume")), "--resume"]
    return shlex.join(["wsi-nucssl", *words])
