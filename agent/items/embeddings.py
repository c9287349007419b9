"""Embeddings of a catalogue's texts, kept on disk: each text is embedded once. Losing them costs time only."""

from __future__ import annotations

import json
import logging
import os
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open  # type: ignore[attr-defined]  # defined in its compiled part
from torch import Tensor

from agent.encoder import Encoder, reference

BATCH = 64  # texts: whoever waits for the encoder meanwhile (a customer) waits for one batch
# Saved whenever this share of what will be kept has been added: all writing together is a few times the file.
_SAVE_SHARE = 0.25
_SAVE_AT_LEAST = 4_096
# Of texts no longer in use, the latest are kept: as many as are in use, or this many.
_RETIRED = 10_000
_BLOCK = 1 << 16  # rows copied or written at a time
_STALE_SECONDS = 3_600.0  # after which a file written aside was left by a crash
_log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Embedded:
    """`vectors` (n, d) float32 of n texts, and their references (n, 2) int64: the 128 bits of `encoder.reference`."""

    refs: Tensor
    vectors: Tensor


_NONE = Embedded(torch.empty(0, 2, dtype=torch.int64), torch.empty(0, 0))


class Embeddings:
    """The embeddings of one encoder in one folder. One thread at a time may use it; several processes may.

    They lie in `<folder>/<hash of the encoder's name>.safetensors`, which is mapped, not read: `refs` and `vectors`
    as in `Embedded`. It is written aside and renamed, so that a crash leaves the old or the new file.
    """

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self.path = folder / f"{reference(encoder.name)[:16]}.safetensors"
        self._encoder = encoder
        self._held = _NONE

    def of(self, texts: Sequence[str], *, progress: Progress = lambda *_: None) -> Tensor:
        """The embeddings (n, d) float32 of the texts; (0, 0) of none. Only those never embedded before are embedded.

        `texts` may make a text when it is asked for: each is asked for once or twice. `progress` is called with
        "embedding", how many are done, and how many there are to do.
        """
        if not len(texts):
            return _NONE.vectors
        digests = [bytes.fromhex(reference(text)) for text in texts]
        refs = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.int64).view(-1, 2)
        if torch.equal(refs, self._held.refs):
            return self._held.vectors
        known = [self._held, self._read()]
        vectors, missing = _gathered(refs, known)
        if missing:
            vectors = self._completed(texts, digests, refs, vectors, missing, known, progress)
        self._held = Embedded(refs, vectors)
        return vectors

    def _completed(
        self,
        texts: Sequence[str],
        digests: Sequence[bytes],
        refs: Tensor,
        vectors: Tensor,
        missing: Sequence[int],
        known: Sequence[Embedded],
        progress: Progress,
    ) -> Tensor:
        """The vectors with those of the missing texts, which are embedded and saved."""
        first: dict[bytes, int] = {}
        for place in missing:
            first.setdefault(digests[place], place)
        # Similar lengths together: a batch is padded to its longest text.
        new = sorted(first.values(), key=lambda place: len(texts[place]))
        done, saved, save_after = 0, 0, max(_SAVE_AT_LEAST, int(_SAVE_SHARE * (len(texts) - len(missing))))
        have = torch.ones(len(texts), dtype=torch.bool)
        have[torch.tensor(missing)] = False
        while done < len(new):
            batch = new[done : done + BATCH]
            rows = self._encode(texts, batch)
            if vectors.shape[1] != rows.shape[1]:
                if vectors.shape[1]:
                    return self._anew(texts, digests, refs, rows.shape[1], progress)
                vectors = torch.empty(len(texts), rows.shape[1])
            vectors[torch.tensor(batch)] = rows
            have[torch.tensor(batch)] = True
            done += len(batch)
            progress("embedding", done, len(new))
            if done - saved >= save_after and done < len(new):
                self._save(Embedded(refs, vectors), have.nonzero()[:, 0], known)
                saved, save_after = done, max(save_after, int(_SAVE_SHARE * done))
        again = [place for place in missing if first[digests[place]] != place]
        if again:
            vectors[torch.tensor(again)] = vectors[torch.tensor([first[digests[place]] for place in again])]
        self._save(Embedded(refs, vectors), torch.arange(len(texts)), known)
        return vectors

    def _anew(self, texts: Sequence[str], digests: Sequence[bytes], refs: Tensor, d: int, progress: Progress) -> Tensor:
        """All of them embedded again: the model of this name is another than it was."""
        _log.warning("%s holds embeddings of other dimensions than the encoder's %d; embedding anew", self.path, d)
        return self._completed(texts, digests, refs, torch.empty(len(texts), d), range(len(texts)), (), progress)

    def _encode(self, texts: Sequence[str], places: Sequence[int]) -> Tensor:
        found = self._encoder.encode([texts[place] for place in places])
        time.sleep(0)  # lets go of the interpreter, so that others get at the encoder between two batches
        return torch.stack([torch.frombuffer(row, dtype=torch.float32) for row in found])

    def _read(self) -> Embedded:
        try:
            with safe_open(self.path, framework="pt") as stored:  # type: ignore[no-untyped-call, attr-defined]
                found = Embedded(stored.get_tensor("refs"), stored.get_tensor("vectors"))
        except FileNotFoundError:
            return _NONE
        except (OSError, SafetensorError) as error:
            _log.warning("%s cannot be read (%s); embedding anew", self.path, error)
            return _NONE
        refs, vectors = found.refs, found.vectors
        sound = refs.shape == (len(vectors), 2) and refs.dtype == torch.int64
        if not sound or vectors.dim() != 2 or vectors.dtype != torch.float32:
            _log.warning("%s does not hold embeddings; embedding anew", self.path)
            return _NONE
        return found

    def _save(self, current: Embedded, rows: Tensor, known: Sequence[Embedded]) -> None:
        """Write these rows of the current ones, and the latest of the known that are in use no more."""
        parts = [(current, rows)]
        left = max(_RETIRED, len(rows))
        for others in known:
            if len(others.refs) and others.vectors.shape[1] == current.vectors.shape[1]:
                retired = (
                    _places(others.refs, among=torch.cat([part.refs[kept] for part, kept in parts])) < 0
                ).nonzero()
                parts.append((others, retired[:left, 0]))
                left -= len(parts[-1][1])
        try:
            _write(self.path, parts, encoder=self._encoder.name)
        except OSError as error:
            _log.warning("%s cannot be written (%s); texts will be embedded again", self.path, error)


def _gathered(refs: Tensor, known: Sequence[Embedded]) -> tuple[Tensor, list[int]]:
    """Vectors (n, d) of the references, as far as any of the known has them; and the places of those that none has."""
    d = next((others.vectors.shape[1] for others in known if len(others.refs)), 0)
    vectors = torch.empty(len(refs), d)
    missing = torch.arange(len(refs))
    for others in known:
        if not len(others.refs) or not len(missing) or others.vectors.shape[1] != d:
            continue
        places = _places(refs[missing], among=others.refs)
        for start in range(0, len(missing), _BLOCK):
            some = places[start : start + _BLOCK]
            vectors[missing[start : start + _BLOCK][some >= 0]] = others.vectors[some[some >= 0]]
        missing = missing[places < 0]
    return vectors, missing.tolist()


def _places(refs: Tensor, *, among: Tensor) -> Tensor:
    """Where each of the references (n, 2) stands among others (m, 2): (n,) int64, -1 where it does not."""
    keys, order = torch.sort(among[:, 0].contiguous())
    places = order[torch.searchsorted(keys, refs[:, 0].contiguous()).clamp(max=len(keys) - 1)]
    # The first 64 bits have found it; all 128 say whether it is the one.
    return torch.where((among[places] == refs).all(1), places, -1)


def _write(path: Path, parts: Sequence[tuple[Embedded, Tensor]], *, encoder: str) -> None:
    """Write rows of the parts as one safetensors file, block by block: the library would copy all of it first."""
    n, d = sum(len(rows) for _, rows in parts), parts[0][0].vectors.shape[1]
    header = json.dumps(
        {
            "__metadata__": {"encoder": encoder},
            "refs": {"dtype": "I64", "shape": [n, 2], "data_offsets": [0, 16 * n]},
            "vectors": {"dtype": "F32", "shape": [n, d], "data_offsets": [16 * n, 16 * n + 4 * n * d]},
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with aside.open("wb") as stream:
            stream.write(struct.pack("<Q", len(header)) + header)
            for tensors in ([part.refs for part, _ in parts], [part.vectors for part, _ in parts]):
                for tensor, (_, rows) in zip(tensors, parts, strict=True):
                    for block in torch.split(rows, _BLOCK):
                        stream.write(tensor[block].numpy().tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove what crashes have left beside the file."""
    for left in path.parent.glob(f"{path.name}.*"):
        with suppress(OSError):  # another process may be clearing up as well
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()
