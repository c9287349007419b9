"""The assistant: trained from files, and talked to in this process, without a server."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import ModelMissing
from agent.plugin.output import AnnotatedOutput
from agent.plugin.runtime import Runtime, runtime


def train(folder: Path, models: Path, *, force: bool = False) -> Path:
    """Train the assistant in a folder (config.yml, and domain and data anywhere below); the path of the model.

    Raises:
        ModelMissing: the folder holds no assistant, or training it failed.
    """
    from rasa.model_training import train as rasa_train

    config = folder / "config.yml"
    if not config.is_file():
        raise ModelMissing(f"there is no assistant in {folder}: it has no config.yml")
    domain = next((place for place in (folder / "domain", folder / "domain.yml") if place.exists()), folder)
    data = [place for place in _data(folder) if place.exists()]
    models.mkdir(parents=True, exist_ok=True)
    result = rasa_train(
        domain=str(domain),
        config=str(config),
        training_files=[str(place) for place in data],
        output=str(models),
        force_training=force,
    )
    if result.code != 0 or not result.model:
        raise ModelMissing(f"the assistant in {folder} was not trained: Rasa ended with code {result.code}")
    return Path(result.model)


class Assistant:
    """A trained assistant in this process. `await Assistant.load(...)`, then `say`; `close` at the end."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    @classmethod
    async def load(cls, model: Path, endpoints: Path | None = None) -> Assistant:
        """Load a model archive (or the newest of a folder) with what endpoints.yml names.

        Raises:
            ModelMissing: there is none, or it cannot be loaded.
        """
        from rasa.core.agent import load_agent
        from rasa.core.utils import AvailableEndpoints
        from rasa.model import get_latest_model

        path = get_latest_model(str(model)) if model.exists() else None
        if path is None:
            raise ModelMissing(f"no trained assistant in {model}: train one first")
        read = AvailableEndpoints.read_endpoints(str(endpoints)) if endpoints is not None else None
        agent = await load_agent(model_path=path, endpoints=read)
        if not agent.is_ready():
            raise ModelMissing(f"the assistant {path} cannot be loaded; what is wrong with it stands above")
        return cls(agent)

    @property
    def runtime(self) -> Runtime:
        """The learning service that this assistant's components use."""
        return runtime()

    async def say(self, text: str, *, conversation: str, message_id: str | None = None) -> Sequence[dict[str, Any]]:
        """The messages that answer a text, each with its `turn_id` and `decision_ids`."""
        from rasa.core.channels.channel import UserMessage

        output = AnnotatedOutput()
        message = UserMessage(
            text,
            output,
            conversation,
            input_channel=output.name(),
            message_id=message_id or uuid.uuid4().hex,
        )
        await self._agent.handle_message(message)
        return output.messages

    async def close(self) -> None:
        """Write what waits to be logged and let go of the log."""
        broker = self._agent.tracker_store.event_broker
        if broker is not None:
            await broker.close()
        self.runtime.close()


def _data(folder: Path) -> list[Path]:
    """Where a project keeps its training data: `data/`, or files and folders of their own."""
    names = ("data", "nlu", "nlu.yml", "stories", "stories.yml", "rules", "rules.yml")
    return [folder / name for name in names]
