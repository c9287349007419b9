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
        for _, old in self._kept(version)[KEEP:]:
            with suppress(OSError):  # another process may be clearing up as well
                old.unlink()
        return path

    def newest(self, version: str, upto: int) -> Snapshot | None:
        """The newest readable snapshot of this model version at or before `upto`."""
        for seq, path in self._kept(version):
            if seq > upto:
                continue
            try:
                return Snapshot(seq, load_file(path))
            except (OSError, SafetensorError) as error:
                _log.warning("snapshot %s cannot be read (%s); folding from further back", path, error)
        return None

    def _kept(self, version: str) -> list[tuple[int, Path]]:
        found = []
        for path in self.folder.glob(f"{version}-*.safetensors"):
            seq = path.stem.removeprefix(f"{version}-")
            if seq.isdigit():
                found.append((int(seq), path))
        return sorted(found, reverse=True)


def _folder_name(loop: str) -> str:
    """A loop's name as a folder's: what a file system might not take is escaped."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else f"%{ord(c):x}" for c in loop)
