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
}


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
        return cls(var=Path(environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var").absolute(), ports=ports)


def require_free_ports(settings: StackSettings) -> None:
    """See that nobody listens where the stack wants to.

    Raises:
        PortUnusable: names every port that is taken and the variable that moves the service elsewhere.
    """
    taken = [service for service in PORTS if not _is_free(settings.ports[service])]
    if taken:
        raise PortUnusable(
            "; ".join(
                f"port {settings.ports[service]}, which {service} wants, is in use by another program: "
                f"stop that program, or set {PORTS[service][0]} to a free port"
                for service in taken
            )
        )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
