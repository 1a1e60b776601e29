"""Command lines in documents, held against the commands, subcommands and options there are."""

import re
import shlex
from collections.abc import Iterator

import click

from infra.cli.main import cli

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSHELL = re.compile(r"\$\(.*\)")
INLINE = re.compile(r"`(databank [^`]+)`")
LINE = re.compile(r"^(?:\$ )?(databank .+)$", re.MULTILINE)


def command_lines(page: str) -> Iterator[str]:
    """Yield each call of `databank` in a page, without what follows it in the shell."""
    for block in FENCED.findall(page):
        for line in LINE.findall(block):
            yield re.split(r"\s#|\s[|>&;<]", INSHELL.sub("X", line))[0].strip()
    yield from (" ".join(each.split()) for each in INLINE.findall(FENCED.sub("", page)))


def mistake(line: str) -> str | None:
    """Return what a command line names that is not there, None where all of it is.

    What somebody fills in (`NAME`, `…`) is taken; alternatives (`a|b`) must all be there. A family
    of commands may be named alone.
    """
    words = shlex.split(line.replace("…", "X"))[1:]
    found: click.Command = cli
    context = click.Context(cli)
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        names = words.pop(0).split("|")
        commands = [found.get_command(context, name) for name in names]
        if None in commands:
            return f"{' '.join(names)} is no command"
        found = next(each for each in commands if each is not None)
    return _wrong_word(found, words)


def _wrong_word(command: click.Command, words: list[str]) -> str | None:
    """Return an option that a command has not, or a choice that it does not give."""
    options = {name: one for one in command.params for name in one.opts + one.secondary_opts}
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    words = list(words)
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, _, given = word.partition("=")
            if name in ("--help", "-h", "--version"):
                continue
            option = options.get(name)
            if not isinstance(option, click.Option):
                return f"{command.name} has no {name}"
            if option.is_flag:
                continue
            value = given or (words.pop(0) if words else "")
            kind = option.type
        else:
            if not arguments:
                return f"{command.name} takes no {word!r}"
            value, kind = word, arguments[0].type
            if arguments[0].nargs != -1:
                arguments.pop(0)
        if isinstance(kind, click.Choice) and value.islower() and value not in kind.choices:
            return f"{command.name} does not know {value}"
    return None
