"""The work of a shard: videos in order, each seen once, linked to its original, or failed with a reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ml.visual.embedder import Embedder, usual_batch
from ml.visual.errors import Stopped, VideoNotFinished, VideoUnusable
from ml.visual.feeds import Content, Feeds, Frames, Pace, Told
from ml.visual.fingerprint import Fingerprint, find_original
from ml.visual.heads import Heads
from ml.visual.keys import Precision, Recipe
from ml.visual.manifest import KnownVideo, ListedVideo
from ml.visual.model import NO_MODEL, VisualModel
from ml.visual.precision import Verdict
from ml.visual.results import ResultFolder
from ml.visual.sampling import Sampling
from ml.visual.settings import JobSettings, preprocessing_version
from ml.visual.video_result import Embedding, copy_of, failure, finished


@dataclass(frozen=True)
class Outcome:
    """What became of a video.

    Attributes:
        state: `done` or `failed`.
        again: a failure of this time only.
        cached: nothing had to be done.
    """

    state: str
    content_hash: str | None = None
    analysis_key: str | None = None
    reason: str | None = None
    duplicate_of: str | None = None
    again: bool = False
    cached: bool = False


@dataclass
class Counts:
    """What was done."""

    frames: int = 0
    cache_hits: int = 0
    duplicates: int = 0
    starved_s: float = 0.0
    load_s: float = 0.0
    recovered_batches: int = 0


@dataclass
class ShardAnalysis:
    """Analyses videos one after the other.

    Attributes:
        asked: `auto` or a precision.
        batch: frames of a batch; 0 leaves it to the machine.
        log: takes an event's name and its numbers.
        stop: set from outside; the batch under way is finished and kept, then `Stopped` is raised.
    """

    model: VisualModel | None
    sampling: Sampling
    settings: JobSettings
    folder: ResultFolder
    known: Sequence[KnownVideo]
    asked: str
    batch: int
    log: Callable[..., None]
    stop: threading.Event
    face_digest: str | None = None
    counts: Counts = field(default_factory=Counts)
    outcomes: list[Outcome] = field(default_factory=list)
    _embedder: Embedder | None = None
    _waiting_since: float | None = None
    _unfinished: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        size = self.model.architecture.size if self.model else 0
        self._size = size
        self._recipe = Recipe(
            self.model.digest if self.model else NO_MODEL,
            preprocessing_version(self.settings.measuring, size, self.face_digest),
            self.sampling.value,
            Precision.FP32,
        )
        self._heads = Heads.load(self.model.folder) if self.model else Heads()
        # A result of fp32 answers every question; one of faster arithmetic those that allow it.
        faster = {"auto": [Precision.BF16], "fp32": []}.get(self.asked)
        self._welcome = [
            self._recipe.at(each)
            for each in (*([Precision(self.asked)] if faster is None else faster), Precision.FP32)
        ]
        self._by_key = {each.analysis_key: each for each in self.known}
        self._failed_before = {each.content_hash: each for each in self.known if each.reason is not None}
        self._looks: list[tuple[str, Fingerprint]] = [
            (each.content_hash, each.looks)
            for each in self.known
            if each.looks is not None
            and not each.reason
            and not each.duplicate_of
            and each.family == self._family
        ]
        self._by_content: dict[str, Outcome] = {}
        self._decided: dict[int, Outcome] = {}  # Videos whose turn came early, by number.
        self._batch = self.batch or usual_batch()
        self.pace = Pace()

    @property
    def verdict(self) -> Verdict | None:
        """Which precision is used; None while no network was needed."""
        return self._embedder.verdict if self._embedder else None

    @property
    def embedder(self) -> Embedder | None:
        """The network; None while none was needed."""
        return self._embedder

    @property
    def waited_s(self) -> float:
        """Seconds so far in which there was nothing for the device to do, or no network on it yet."""
        since = self._waiting_since
        now = 0.0 if since is None else time.perf_counter() - since
        return self.counts.starved_s + self.counts.load_s + now

    @property
    def _family(self) -> str:
        return self._recipe.family

    def run(self, videos: Sequence[ListedVideo]) -> None:
        """Analyse the videos; `outcomes` has one for each, in their order.

        Raises:
            Stopped: it was told to stop.
            VisualModelUnusable: the model cannot be loaded, or the device has no room for it.
        """
        end = threading.Event()
        feeds = Feeds(videos, self.settings, self.sampling, self._size, self._batch, self._is_known, end)
        self.pace = feeds.pace
        watcher = threading.Thread(target=_pass_on, args=(self.stop, end), daemon=True)
        watcher.start()
        feeds.start()
        try:
            for number, video in enumerate(videos):
                outcome = self._outcome(feeds, number)
                self.outcomes.append(outcome)
                self.log(
                    "video", creative_id=video.creative_id, number=number, state=outcome.state,
                    cached=outcome.cached, duplicate=outcome.duplicate_of is not None, reason=outcome.reason,
                )  # fmt: skip
            self._finish_last()
        except Stopped:
            self._finish_last()
            raise
        finally:
            end.set()
            feeds.join()

    def _outcome(self, feeds: Feeds, number: int) -> Outcome:
        if number in self._decided:
            return self._decided.pop(number)
        content = self._get(feeds, number)
        if isinstance(content, VideoUnusable | VideoNotFinished):
            return Outcome("failed", reason=str(content), again=isinstance(content, VideoNotFinished))
        if not isinstance(content, Content):
            raise TypeError(f"a feed began with {type(content).__name__}")
        digest = content.content_hash
        if digest not in self._by_content and content.same_as is not None and not content.is_known:
            # The same file is decoded for another video of the list, whose turn this is then.
            twin = self._outcome(feeds, content.same_as)
            self._by_content[digest] = self._decided[content.same_as] = twin
        if digest in self._by_content:
            found = self._by_content[digest]
            self.counts.cache_hits += 1
            return Outcome(
                found.state,
                digest,
                found.analysis_key,
                found.reason,
                found.duplicate_of,
                found.again,
                cached=True,
            )
        outcome = self._remembered(digest) if content.is_known else self._analyse(feeds, number, content)
        self._by_content[digest] = outcome
        return outcome

    def _remembered(self, digest: str) -> Outcome:
        self.counts.cache_hits += 1
        for recipe in self._welcome:
            key = recipe.key(digest)
            if (kept := self.folder.read(digest, key)) is not None:
                if kept["perceptual_hash"] and not kept["duplicate_of"]:
                    self._looks.append((digest, Fingerprint.of_values(kept["perceptual_hash"])))
                return Outcome(kept["state"], digest, key, kept["reason"], kept["duplicate_of"], cached=True)
            if (known := self._by_key.get(key)) is not None:
                state = "failed" if known.reason is not None else "done"
                return Outcome(state, digest, key, known.reason, known.duplicate_of, cached=True)
        before = self._failed_before[digest]
        return Outcome("failed", digest, before.analysis_key, before.reason, cached=True)

    def _is_known(self, digest: str) -> bool:
        return digest in self._failed_before or any(
            recipe.key(digest) in self._by_key or self.folder.read(digest, recipe.key(digest)) is not None
            for recipe in self._welcome
        )

    def _analyse(self, feeds: Feeds, number: int, content: Content) -> Outcome:
        recipe = self._recipe_in_use()
        digest, key = content.content_hash, recipe.key(content.content_hash)
        with ExitStack() as open_files:
            embedding = Embedding(self._embedder, self.folder, digest, key, self._batch)
            open_files.enter_context(embedding)
            held: list[Frames] = []
            count = 0
            try:
                while not isinstance(item := self._get(feeds, number), Told):
                    if isinstance(item, VideoUnusable | VideoNotFinished):
                        raise item
                    if not isinstance(item, Frames):
                        raise TypeError(f"{type(item).__name__} came where frames were expected")
                    held.append(item)
                    count += len(item.frames)
                    if count > self.settings.hold_frames:
                        self._embed(embedding, held)
            except VideoUnusable as error:
                self.folder.write(failure(digest, key, recipe, content.bytes, str(error)))
                embedding.forget()
                return Outcome("failed", digest, key, str(error))
            except VideoNotFinished as error:
                return Outcome("failed", digest, key, str(error), again=True)
            told = item.values
            self.counts.frames += told["frames"]
            looks = Fingerprint.of_values(told["perceptual_hash"]) if told["perceptual_hash"] else None
            original = find_original(looks, self._looks, self.settings.copies) if looks else None
            if original is not None:
                self.counts.duplicates += 1
                self._finish_last()  # It may be the original.
                self.folder.write(copy_of(original, digest, key, recipe, content.bytes, told))
                embedding.forget()
                return Outcome("done", digest, key, duplicate_of=original)
            self._embed(embedding, held)
            if looks is not None:
                self._looks.append((digest, looks))
            self._finish_last()
            files = open_files.pop_all()
            self._unfinished = lambda: self._finish(embedding, files, content, recipe, told)
            return Outcome("done", digest, key)

    def _finish(
        self, embedding: Embedding, files: ExitStack, content: Content, recipe: Recipe, told: dict[str, Any]
    ) -> None:
        """Write the result of a video whose frames are all with the device."""
        digest = content.content_hash
        with files:
            rows = embedding.rows()
            result, arrays = finished(
                digest, recipe.key(digest), recipe, content.bytes, told, rows, self._heads
            )
            self.counts.recovered_batches += embedding.recovered
            self.folder.write(result, arrays)
            embedding.forget()

    def _finish_last(self) -> None:
        """Finish the video before, which waited until the device had work again, or there was none."""
        finish, self._unfinished = self._unfinished, None
        if finish is not None:
            finish()

    def _embed(self, embedding: Embedding, held: list[Frames]) -> None:
        """Send what was held back to the device; a stop is heeded between batches."""
        while held:
            if self.stop.is_set():
                raise Stopped
            embedding.add(held.pop(0).frames)
            self._finish_last()

    def _get(self, feeds: Feeds, number: int) -> Any:
        if not feeds.is_ready(number):
            self._finish_last()
        self._waiting_since = time.perf_counter()
        item = feeds.get(number)
        self.counts.starved_s += self._waited()
        if item is None:
            raise Stopped
        return item

    def _waited(self) -> float:
        began, self._waiting_since = self._waiting_since, None
        return 0.0 if began is None else time.perf_counter() - began

    def _recipe_in_use(self) -> Recipe:
        if self.model is None:
            return self._recipe
        if self._embedder is None:
            self._waiting_since = time.perf_counter()
            self._embedder = Embedder(self.model, self.asked, self._batch, self.settings.fidelity)
            self.counts.load_s = self._waited()
            self.log(
                "model", digest=self.model.digest[:16], device=self._embedder.device,
                seconds=round(self.counts.load_s, 2), **self._embedder.verdict.to_values(),
            )  # fmt: skip
        return self._recipe.at(self._embedder.verdict.used)


def _pass_on(stop: threading.Event, end: threading.Event) -> None:
    while not end.wait(0.05):
        if stop.is_set():
            end.set()
