"""What the documentation's site generates: the references of the command line and of `import wsi_nucssl`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.models import OptionInfo, ParameterInfo

import wsi_nucssl
from wsi_nucssl_cli.app import app


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the references: of the command line, and of what `import wsi_nucssl` offers."""
    for name, lines in (("cli", cli_reference()), ("python", python_reference())):
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines)))
    return files


def cli_reference() -> Iterator[str]:
    """The lines of a page with each command, its arguments and its options."""
    yield "# Command line"
    yield ""
    yield "Generated from the commands themselves; `wsi-nucssl COMMAND --help` says the same."
    for command in app.registered_commands:
        assert command.callback is not None
        yield from ("", f"## wsi-nucssl {command.name}", "", inspect.getdoc(command.callback) or "", "")
        yield from ("| | |", "|---|---|")
        for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
            yield from _row(parameter)


def python_reference() -> Iterator[str]:
    """The lines of a page with every public name, each described by its own docstring."""
    yield "# Python"
    yield ""
    yield "Everything that `import wsi_nucssl as wn` offers. [From Python](../python.md) shows it at work."
    for name in sorted(wsi_nucssl.__all__, key=str.lower):
        home = getattr(inspect.unwrap(getattr(wsi_nucssl, name)), "__module__", None)
        if home is not None:
            yield from ("", f"## wn.{name}", "", f"::: {home}.{name}")


def _row(parameter: inspect.Parameter) -> Iterator[str]:
    kind, *others = get_args(parameter.annotation) or (parameter.annotation,)
    info = next((each for each in others if isinstance(each, ParameterInfo)), None)
    if info is None or info.hidden:  # typer's own, such as its context
        return
    flags = _flags(parameter.name, info)
    parts = [(info.help or "").strip()]
    choices = [choice for choice in _choices(kind) if isinstance(choice, str)]
    parts += ["One of " + ", ".join(f"`{choice}`" for choice in choices) + "."] if choices else []
    default = info.show_default if isinstance(info.show_default, str) else parameter.default
    if default not in (None, "", False, parameter.empty):
        parts.append(f"Default: `{default}`.")
    text = " ".join(part for part in parts if part).replace("\n", " ").replace("|", "\\|")
    yield f"| {', '.join(f'`{flag}`' for flag in flags)} | {text} |"


def _flags(name: str, info: ParameterInfo) -> list[str]:
    """As typed: typer keeps the first of several flags where a default would stand."""
    declared = [each for each in (info.default, *(info.param_decls or ())) if each not in (None, ...)]
    if declared or not isinstance(info, OptionInfo):
        return declared or [name.upper()]
    return [f"--{name.replace('_', '-')}"]


def _choices(kind: Any) -> tuple[Any, ...]:
    """Of a Literal, alone or beside None."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))
