"""Where the local stack keeps its files and which loopback ports it uses."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include.errors import PermanentError

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"

# What listens, the variable that moves it, and where it listens otherwise.
PORTS = {
    "postgres": ("NIGHTSHIFT_POSTGRES_PORT", 54329),
    "redis": ("NIGHTSHIFT_REDIS_PORT", 63799),
    "sandbox": ("NIGHTSHIFT_SANDBOX_PORT", 8090),
    "mlflow": ("NIGHTSHIFT_MLFLOW_PORT", 5055),
    "airflow": ("NIGHTSHIFT_AIRFLOW_PORT", 8080),
    "serving": ("NIGHTSHIFT_SERVING_PORT", 8070),
}


# Marks of comments, quotations and lists in the configuration of supervisord, Redis and Python.
_UNUSABLE = frozenset("\"'\\;#%:\n")


class FolderUnusable(PermanentError):
    """A folder's name has letters that the programs' configuration cannot hold."""


class PortUnusable(PermanentError):
    """A port is taken by somebody else, or is not a port."""


@dataclass(frozen=True)
class StackSettings:
    """The layout of one local stack.

    Attributes:
        var: folder of everything the stack writes; removing it is a factory reset.
        ports: port per service name of `PORTS`.
    """

    var: Path
    ports: Mapping[str, int]

    @property
    def logs(self) -> Path:
        """One folder for the logs of all programs."""
        return self.var / "logs"

    @property
    def run(self) -> Path:
        """Locks, sockets and generated configuration."""
        return self.var / "stack"

    @property
    def env_file(self) -> Path:
        """Connections of the running stack, for command-line programs; exists only while it is up."""
        return self.var / "stack.env"

    def url(self, service: str) -> str:
        """`http://127.0.0.1:PORT` of one service."""
        return f"http://{LOOPBACK}:{self.ports[service]}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "StackSettings":
        """Settings from `NIGHTSHIFT_VAR` and the port variables.

        Raises:
            PortUnusable: a port variable is not a number between 1 and 65535, or two services share one.
            FolderUnusable: a folder's name has letters that the programs' configuration cannot hold.
        """
        ports: dict[str, int] = {}
        for service, (variable, default) in PORTS.items():
            text = environ.get(variable) or str(default)
            if not text.isdigit() or not 0 < int(text) < 65536:
                raise PortUnusable(f"{variable}={text!r} is not a port: give a number between 1 and 65535")
            twin = next((name for name, port in ports.items() if port == int(text)), None)
            if twin:
                raise PortUnusable(
                    f"{service} and {twin} cannot both use port {text}: change {variable} or {PORTS[twin][0]}"
                )
            ports[service] = int(text)
        # Resolved, so that one folder has one name however it is reached.
        var = Path(environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var").resolve()
        for folder, way_out in ((var, "set NIGHTSHIFT_VAR to another"), (REPOSITORY, "move the repository")):
            if unusable := sorted(_UNUSABLE & set(str(folder))):
                raise FolderUnusable(
                    f"the folder {folder} has {' '.join(map(repr, unusable))} in its name, which the "
                    f"configuration of the programs cannot hold: {way_out}"
                )
        return cls(var=var, ports=ports)


def require_free_ports(settings: StackSettings) -> None:
    """See that nobody listens where the stack wants to.

    Raises:
        PortUnusable: names every port that is taken and the variable that moves the service elsewhere.
    """
    unusable = {service: _why_unusable(settings.ports[service]) for service in PORTS}
    sentences = [
        f"port {settings.ports[service]}, which {service} wants, {reason} "
        f"set {PORTS[service][0]} to a free port"
        for service, reason in unusable.items()
        if reason
    ]
    if sentences:
        raise PortUnusable("; ".join(sentences))


def _why_unusable(port: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError:
            return "is not yours to use:"
        except OSError:
            return "is in use by another program: stop that program, or"
        return None
