"""What can go wrong, each with its exit code and a sentence that says what to do. Holds no logic."""

from enum import IntEnum


class Code(IntEnum):
    """Exit codes; docs/kubectl-tradingbot.md lists them."""

    DONE = 0
    """Done; a kill: the broker says that no order is open and nothing is held."""
    REFUSED = 1
    """It failed, was refused, or makes no sense as things stand."""
    USAGE = 2
    """Options are wrong, or a confirmation is needed and nobody is there to give it."""
    HELD = 3
    """A kill: no order is open any more, and positions are kept, as spec.onKill says."""
    NOT_CONFIRMED = 4
    """It was asked for, and the answer did not come in time."""
    NOT_ALLOWED = 5
    """A right is missing, or the kubeconfig's user is not known."""
    NOT_FOUND = 6
    """There is no such object."""
    NO_CLUSTER = 7
    """The API server or kubectl cannot be reached, or the operator's kinds are not installed."""
    INTERRUPTED = 130
    """Ctrl-C."""


class PluginError(Exception):
    """Ends the program with a sentence for a person."""

    code = Code.REFUSED


class RefusedError(PluginError):
    """The API server, or the state of things, says no."""


class UsageError(PluginError):
    """What was given on the command line cannot be carried out."""

    code = Code.USAGE


class NotConfirmedError(PluginError):
    """What was waited for did not come in time."""

    code = Code.NOT_CONFIRMED


class NotAllowedError(PluginError):
    """RBAC or an admission policy says no."""

    code = Code.NOT_ALLOWED


class NotFoundError(PluginError):
    """There is no such object."""

    code = Code.NOT_FOUND


class UnreachableError(PluginError):
    """No API server, or no kubectl."""

    code = Code.NO_CLUSTER


class NotInstalledError(PluginError):
    """The API server does not know the operator's kinds."""

    code = Code.NO_CLUSTER
