"""What a shell may offer next: commands, options, names of bots and accounts. Asks the API server for names only.

Serves the shells by themselves (`completion bash`) and kubectl's own completion (`kubectl_complete-tradingbot`). Must
never print an error: a shell would offer it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import typer

from kubectl_tradingbot.errors import PluginError
from kubectl_tradingbot.kubectl import ACCOUNTS, BOTS, EVIDENCE, Kubectl, Scope

Names = Callable[[str, Scope], Sequence[str]]
"""Names of the objects of a kind."""

_SECONDS: Final = 3.0
_NO_FILES: Final = ":4"
"""To kubectl, as cobra has it: offer nothing beside these, no files in particular."""
_FILES: Final = ":0"
_VALUES: Final = {"--account": ACCOUNTS, "--namespace": "namespaces", "-n": "namespaces"}
_WORDS: Final = {"--output": ("table", "wide", "json", "yaml"), "-o": ("table", "wide", "json", "yaml")}
_SCOPE: Final = {"--namespace": "namespace", "-n": "namespace", "--context": "context"} | {
    "--kubeconfig": "kubeconfig",
    "--as": "as_user",
}


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final = {
    Shell.BASH: """\
_kubectl_tradingbot() {
  local IFS=$'\\n'
  COMPREPLY=($(kubectl-tradingbot complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _kubectl_tradingbot kubectl-tradingbot
""",
    Shell.ZSH: """\
#compdef kubectl-tradingbot
_kubectl_tradingbot() {
  local -a found
  found=(${(f)"$(kubectl-tradingbot complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)"})
  compadd -a found
}
compdef _kubectl_tradingbot kubectl-tradingbot
""",
    Shell.FISH: """\
function __kubectl_tradingbot
  kubectl-tradingbot complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c kubectl-tradingbot -f -a '(__kubectl_tradingbot)'
""",
}


def offers(commands: Mapping[str, Any], words: Sequence[str], names: Names) -> list[str]:
    """What may stand where the last of the words is being typed. `commands`: by name, with their parameters."""
    *before, unfinished = words or [""]
    if not before:
        return _starting(commands, unfinished)
    command = commands.get(before[0])
    if command is None:
        return []
    options = _options(command)
    last = before[-1]
    if last in _WORDS:
        return _starting(_WORDS[last], unfinished)
    if last in _VALUES:
        return _starting(names(_VALUES[last], _scope(before, without=last)), unfinished)
    if options.get(last):
        return []
    if unfinished.startswith("-"):
        return _starting(options, unfinished)
    place = len(_positional(before[1:], options))
    if before[0] == "completion":
        return _starting(list(Shell), unfinished) if place == 0 else []
    kind = _kind(command, place)
    return _starting(names(kind, _scope(before)), unfinished) if kind is not None else []


def _kind(command: Any, place: int) -> str | None:
    arguments = [one.name for one in command.params if not str((one.opts or [""])[0]).startswith("-")]
    wanted = {"bot": BOTS, "name": EVIDENCE}
    return wanted.get(str(arguments[place])) if place < len(arguments) else None


def _options(command: Any) -> dict[str, bool]:
    """Each option, and whether a value follows it."""
    named = (one for one in command.params if str((one.opts or [""])[0]).startswith("-"))
    return {option: not getattr(one, "is_flag", False) for one in named for option in one.opts} | {"--help": False}


def _positional(words: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    found, is_value = [], False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-"):
            is_value = options.get(word, False)
        else:
            found.append(word)
    return found


def _scope(words: Sequence[str], without: str = "") -> Scope:
    """The cluster and namespace that were typed already."""
    chosen: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        option, has_value, value = word.partition("=")
        if option in _SCOPE and option != without and (value or after):
            chosen[_SCOPE[option]] = value if has_value else after
    return Scope(**chosen)  # type: ignore[arg-type]


def _starting(words: Sequence[str] | Mapping[str, Any], unfinished: str) -> list[str]:
    return sorted(word for word in words if word.startswith(unfinished))


def names_of(resource: str, scope: Scope) -> Sequence[str]:
    """Names from the API server; none where it does not answer soon."""
    try:
        template = "--output=jsonpath={.items[*].metadata.name}"
        return Kubectl(scope).attempt("get", resource, template, timeout_seconds=_SECONDS).stdout.split()
    except PluginError:
        return []


def commands_of(app: typer.Typer) -> Mapping[str, Any]:
    """The commands that people see."""
    found: Mapping[str, Any] = getattr(typer.main.get_command(app), "commands", {})
    return {name: command for name, command in found.items() if not command.hidden}


def completion(shell: Shell) -> None:
    """Print the script that lets a shell complete commands, options and names of bots.

    bash:     kubectl-tradingbot completion bash > ~/.local/share/bash-completion/completions/kubectl-tradingbot
    zsh:      kubectl-tradingbot completion zsh > "${fpath[1]}/_kubectl-tradingbot"
    fish:     kubectl-tradingbot completion fish > ~/.config/fish/completions/kubectl-tradingbot.fish

    `kubectl tradingbot ...` is completed by kubectl's own completion, through
    kubectl_complete-tradingbot, which is installed beside this program.
    """
    typer.echo(SCRIPTS[shell], nl=False)


def main() -> None:
    """`kubectl_complete-tradingbot`: kubectl hands over the words after `kubectl tradingbot`, all of them."""
    from kubectl_tradingbot.cli import app

    words = sys.argv[1:]
    found = offers(commands_of(app), words, names_of)
    before = words[-2] if len(words) > 1 else ""
    ending = _FILES if before in ("--kubeconfig", "--file") else _NO_FILES
    sys.stdout.write("".join(f"{one}\n" for one in [*found, ending]))
