"""Snapshots: folds kept on disk. Losing them costs time, never knowledge."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError  # type: ignore[attr-defined]  # defined in its compiled part
from safetensors.torch import load_file, save_file
from torch import Tensor

MILESTONES = 8  # of a version, for looking back
MOST_BYTES = 512 * 2**20  # that all milestones of a loop may take
KEEP = 2  # the newest, and one before it in case the newest cannot be read
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A learner's state at a `seq`."""

    seq: int
    state: dict[str, Tensor]


class Snapshots:
    """The snapshots of one loop, as `<home>/snapshots/<loop>/<model version>-<seq>.safetensors`."""

    def __init__(self, home: Path, loop: str) -> None:
        self.folder = home / "snapshots" / _folder_name(loop)

    def save(self, version: str, seq: int, state: Mapping[str, Tensor]) -> Path:
        """Write aside, then rename: a reader never sees half a snapshot. Older ones of the version are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{version}-{seq}.safetensors"
        aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, aside)
            with aside.open("rb") as stream:
                os.fsync(stream.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        for old in self._surplus(version):
            with suppress(OSError):  # another process may be clearing up as well
                old.unlink()
        return path

    def newest(self, version: str, upto: int) -> Snapshot | None:
        """The newest readable snapshot of this model version at or before `upto`."""
        for seq, path in self._found(version):
            if seq > upto:
                continue
            try:
                return Snapshot(seq, load_file(path))
            except (OSError, SafetensorError) as error:
                _log.warning("snapshot %s cannot be read (%s); folding from further back", path, error)
        return None

    def before(self, version: str, upto: int) -> int:
        """`seq` of the newest snapshot of this model version at or before `upto`; 0 where there is none."""
        return next((seq for seq, _ in self._found(version) if seq <= upto), 0)

    def _found(self, version: str) -> list[tuple[int, Path]]:
        """What there is to begin from, the newest first."""
        return self._kept(version)

    def _surplus(self, version: str) -> list[Path]:
        """What is to be removed."""
        return [path for _, path in self._kept(version)[KEEP:]]

    def _kept(self, version: str) -> list[tuple[int, Path]]:
        found = []
        for path in self.folder.glob(f"{version}-*.safetensors"):
            seq = path.stem.removeprefix(f"{version}-")
            if seq.isdigit():
                found.append((int(seq), path))
        return sorted(found, reverse=True)


class Milestones(Snapshots):
    """Snapshots spread over a loop's past, for looking back: in a folder of their own, beside those that serve.

    Of each version at most `MILESTONES` are kept, and in all at most `MOST_BYTES`. They are thinned where they stand
    closest, so that however far back somebody looks, there is one not far before.
    """

    def __init__(self, home: Path, loop: str) -> None:
        super().__init__(home, loop)
        self._serving = Snapshots(home, loop)
        self.folder = self._serving.folder / "milestones"

    def _found(self, version: str) -> list[tuple[int, Path]]:
        return sorted([*self._kept(version), *self._serving._kept(version)], reverse=True)

    def _surplus(self, version: str) -> list[Path]:
        kept = self._kept(version)[::-1]
        surplus = []
        while len(kept) > MILESTONES:
            # What lies between its neighbours is refolded without it: the least of all goes; the newest stays.
            gaps = [after[0] - before[0] for before, after in zip([(0, None), *kept], kept[1:], strict=False)]
            surplus.append(kept.pop(min(range(len(gaps)), key=gaps.__getitem__))[1])
        files = sorted(self.folder.glob("*.safetensors"), key=_written)
        sizes = [path.stat().st_size for path in files if path.exists()]
        while files and sum(sizes) > MOST_BYTES:
            surplus.append(files.pop(0))
            sizes.pop(0)
        return surplus


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def _folder_name(loop: str) -> str:
    """A loop's name as a folder's: what a file system might not take is escaped."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else f"%{ord(c):x}" for c in loop)
