"""Clips, small networks and a way to run the job, shared by the tests of the visual analysis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ml.visual import job
from ml.visual.model import Architecture, VisualModel, save_model
from tests.ml.visual import clips
from tests.ml.visual.clips import Scene

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STORY = [Scene(11, 1.2), Scene(12, 1.4, "SALE TODAY\nonly here"), Scene(13, 1.4)]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s, cut at 1.2 and 2.6 s, words in the middle, speech-like sound."""
    folder = tmp_path_factory.mktemp("clips")
    return clips.write(folder / "story.mp4", STORY, sound=clips.speech_like(4.0))


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of another look, one scene, without sound."""
    folder = tmp_path_factory.mktemp("clips")
    return clips.write(folder / "other.mp4", [Scene(31, 2.0, brightness=0.6)])


def network(folder: Path, name: str, size: int, dimensions: int) -> VisualModel:
    """A network with drawn weights, the same each time."""
    import torch

    from ml.visual.torchvision_stub import timm

    torch.manual_seed(7)
    made = timm().create_model(name, pretrained=False, num_classes=0)
    return save_model(folder, Architecture(name, size, MEAN, STD, dimensions), made)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> VisualModel:
    """A convolutional network of 0.4 million weights."""
    return network(tmp_path_factory.mktemp("models") / "resnet", "test_resnet", 96, 96)


@pytest.fixture(scope="session")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> VisualModel:
    """A vision transformer of 0.3 million weights, which has layers that INT8 changes."""
    return network(tmp_path_factory.mktemp("models") / "vit", "test_vit", 160, 64)


class Job:
    """Runs the job over videos, in this process or in one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def manifest(self, videos: Sequence[Path | str], **settings: Any) -> Path:
        """The manifest of these videos; their creatives are numbered."""
        path = self.folder / "manifest.json"
        rows = [
            {"account_id": "a1", "creative_id": f"c{n}", "uri": str(video), "sha256": None, "bytes": 1}
            for n, video in enumerate(videos)
        ]
        settings = {"decoders": 2, **settings}
        path.write_text(json.dumps({"shard": 7, "videos": rows, "settings": settings}))
        return path

    def arguments(self, manifest: Path, *more: str) -> list[str]:
        """The command line."""
        return ["--manifest", str(manifest), "--out", str(self.out), *more]

    def run(self, videos: Sequence[Path | str], *more: str, **settings: Any) -> dict[str, Any]:
        """Run to the end; returns the summary."""
        assert job.main(self.arguments(self.manifest(videos, **settings), *more)) == job.DONE
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """What the job wrote at its end."""
        return json.loads((self.out / "manifest.json").read_text())

    def files(self) -> dict[str, bytes]:
        """The results, by name."""
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.name != "manifest.json"}

    def result(self, number: int) -> dict[str, Any]:
        """What was written of a video."""
        told = self.summary()["videos"][number]
        name = f"{told['content_hash']}-{told['analysis_key'][:16]}.json"
        return json.loads((self.out / name).read_text())

    def start(self, manifest: Path, *more: str) -> subprocess.Popen[str]:
        """Start it in a process group of its own."""
        command = [sys.executable, "-m", "ml.visual.job", *self.arguments(manifest, *more)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[Callable[[str], Job]]:
    """Jobs with folders of their own; the signal handlers they set are put back."""
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}

    def make(name: str = "one") -> Job:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Job(folder)

    yield make
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.fixture
def serve_slowly() -> Iterator[Callable[[Path], str]]:
    """Serves a file over HTTP, a second after it was asked for; gives its address."""

    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(1)
            super().do_GET()

        def log_message(self, *arguments: Any) -> None: ...

    servers = []

    def serve(file: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(file.parent)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/{file.name}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
