"""The assistant: a Rasa project, trained and talked to in this process, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent import encoder
from agent.errors import ModelMissing
from agent.plugin import featurizer, lessons, policy
from agent.plugin.fingerprint import source_of
from agent.settings import PROJECT_VARIABLE

_DATA = ("data", "nlu", "nlu.yml", "stories", "stories.yml", "rules", "rules.yml")
_ASIDE = {".rasa", "models", "tests", "results"}
_KEEP = 3  # trained models; older ones are removed


class Assistant:
    """A Rasa project: `train` it, `load` it, and talk to `agent`, which is Rasa's own.

    Trained models are kept in `<home>/models`, each named by a hash of all it was made from, so an unchanged
    project is not trained again.
    """

    def __init__(self, project: Path, home: Path) -> None:
        self.project, self.home = project, home
        self.agent: Any = None

    @property
    def model(self) -> Path:
        """Where the model of the project as it stands now lies, or would lie once trained."""
        digest = hashlib.sha256(source_of(encoder, featurizer, lessons, policy).encode())
        for path in sorted(self.project.rglob("*.yml")):
            place = path.relative_to(self.project)
            if not _ASIDE.intersection(place.parts) and path.name not in ("endpoints.yml", "credentials.yml"):
                digest.update(f"{place}\0".encode() + path.read_bytes())
        return self.home / "models" / f"{digest.hexdigest()[:16]}.tar.gz"

    def train(self, *, force: bool = False, progress: Callable[[str], None] = lambda _: None) -> Path:
        """Train unless that was done; the model's path.

        Raises:
            ModelMissing: the folder holds no assistant, or training it failed.
        """
        if not (self.project / "config.yml").is_file():
            raise ModelMissing(f"there is no assistant in {self.project}: it has no config.yml")
        model = self.model
        if force or not model.is_file():
            progress("training the assistant (a minute or two, until something changes)")
            with _quiet(), _steps(progress):
                self._train(model, force)
            _keep_newest(model)
        return model

    def load(self) -> None:
        """Load the trained model and what endpoints.yml names.

        Raises:
            ModelMissing: it was not trained, or cannot be loaded.
        """
        model, endpoints = self.model, self.project / "endpoints.yml"
        if not model.is_file():
            raise ModelMissing(f"the assistant in {self.project} is not trained: `rejoinder train` does it")
        self.home.mkdir(parents=True, exist_ok=True)
        os.environ[PROJECT_VARIABLE] = str(self.project.absolute())
        with _quiet():
            from rasa.core.agent import load_agent
            from rasa.core.utils import AvailableEndpoints

            read = AvailableEndpoints.read_endpoints(str(endpoints)) if endpoints.is_file() else None
            self.agent = _loop().run_until_complete(load_agent(model_path=str(model), endpoints=read))
        if not self.agent.is_ready():
            raise ModelMissing(f"the assistant {model} cannot be loaded")

    def _train(self, model: Path, force: bool) -> None:
        os.environ.setdefault("RASA_CACHE_DIRECTORY", str(self.home / "cache"))
        from rasa.exceptions import ModelNotFound
        from rasa.model_training import train
        from rasa.shared.exceptions import RasaException

        domain = next(
            (path for name in ("domain", "domain.yml") if (path := self.project / name).exists()), self.project
        )
        model.parent.mkdir(parents=True, exist_ok=True)
        try:
            result = train(
                domain=str(domain),
                config=str(self.project / "config.yml"),
                training_files=[str(self.project / name) for name in _DATA if (self.project / name).exists()],
                output=str(model.parent),
                fixed_model_name=model.name,
                force_training=force,
            )
        except (RasaException, ModelNotFound) as error:
            raise ModelMissing(f"the assistant in {self.project} was not trained: {error}") from error
        if result.code != 0 or not model.is_file():
            raise ModelMissing(f"the assistant in {self.project} was not trained (Rasa's code {result.code})")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Rasa's and TensorFlow's chatter kept away; what goes wrong is still logged, on stderr."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    import structlog

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import rasa.utils.common

        rasa.utils.common.configure_logging_and_warnings(log_level=logging.ERROR)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        warnings.simplefilter("ignore")  # Rasa asked to see them once each
        yield


@contextlib.contextmanager
def _steps(progress: Callable[[str], None]) -> Iterator[None]:
    """Tells which component is being trained, as Rasa would log it."""
    started = re.compile(r"Starting to train component '(\w+)'")

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if found := started.search(record.getMessage()):
                progress(f"training {found[1]}")

    hooks, listener = logging.getLogger("rasa.engine.training.hooks"), Listener()
    hooks.setLevel(logging.INFO)
    hooks.addHandler(listener)
    hooks.propagate = False
    try:
        yield
    finally:
        hooks.removeHandler(listener)
        hooks.propagate = True


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this thread, which loading and all later talk share."""
    try:
        return asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


def _keep_newest(model: Path) -> None:
    others = [path for path in model.parent.glob("*.tar.gz") if path != model]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[_KEEP - 1 :]:
        path.unlink(missing_ok=True)
