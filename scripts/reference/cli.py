"""docs/reference/cli.md, from the tree of commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from worker.cli import main

HEAD = """# Command line

<!-- Written by `python -m scripts.write_reference`. Do not edit. -->

`prediction-worker` has the commands of this page. Each command prints its own help with `--help`.

Every option can also come from the environment: `PREDICTION_WORKER_` and the command, the sub-command and the option
in capitals, with `_` for spaces and hyphens. `PREDICTION_WORKER_PUBLISH_VIA=http` is `--via http` of `publish`. Options
that have a shorter variable name it below. What the worker itself does is configured by the [settings](settings.md).

What a command exits with: [exit codes](exit-codes.md).
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """(name, command) of every command and sub-command, in the order of ``--help``."""
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            yield from _with_sub_commands(name, command)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for name, command in commands() for line in _section(name, command))])


def _with_sub_commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _with_sub_commands(f"{name} {child.name}", child)


def _section(name: str, command: click.Command) -> Iterator[str]:
    yield f"{'##' if ' ' not in name else '###'} {name}\n"
    yield f"{_help(command)}\n"
    if isinstance(command, click.Group):
        children = (f"[{child}](#{name}-{child})" for child in command.commands)
        yield f"Sub-commands: {', '.join(children)}.\n"
        return
    yield f"Usage: `{' '.join([name, *command.collect_usage_pieces(click.Context(command))])}`\n"
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        yield "| option | values | default | meaning |\n|---|---|---|---|"
        yield from (_row(one) for one in options)
        yield ""


def _help(command: click.Command) -> str:
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(command.help or "").replace("\b", ""))
    return "\n\n".join(" ".join(one.split()) for one in paragraphs if one.strip())


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    meaning = option.help or ""
    if option.envvar:
        meaning += f" Variable: `{option.envvar}`."
    if option.required:
        meaning += " Required."
    if option.multiple:
        meaning += " May be given several times."
    return f"| {names} | {_values(option)} | {_default(option)} | {meaning.strip()} |"


def _values(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{one}`" for one in kind.choices)
    if isinstance(kind, click.types.IntRange | click.types.FloatRange):
        return _range(kind)
    if isinstance(kind, click.Path | click.File):
        return "a path"
    if isinstance(kind, click.types.FuncParamType):
        return "text"
    return {"integer": "whole number", "float": "number", "text": "text"}.get(kind.name, kind.name)


def _range(kind: Any) -> str:
    noun = "whole number" if isinstance(kind, click.types.IntRange) else "number"
    low = None if kind.min is None else f"{'more than' if kind.min_open else 'at least'} {kind.min:g}"
    high = None if kind.max is None else f"{'less than' if kind.max_open else 'at most'} {kind.max:g}"
    return ", ".join(word for word in (noun, low, high) if word)


def _default(option: click.Option) -> str:
    default = option.default() if callable(option.default) else option.default
    if option.secondary_opts:
        return f"`{option.opts[0] if default else option.secondary_opts[0]}`"
    if option.is_flag or default in (None, "", [], ()) or type(default).__name__ == "Sentinel":
        return ""
    shown = default if not isinstance(default, list | tuple) else ", ".join(map(str, default))
    return f"`{shown}`"
