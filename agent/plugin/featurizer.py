"""The featurizer: a message's embedding as a dense feature, shared with the bandit's context."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.constants import DENSE_FEATURIZABLE_ATTRIBUTES, TOKENS_NAMES
from rasa.nlu.featurizers.dense_featurizer.dense_featurizer import DenseFeaturizer
from rasa.nlu.tokenizers.tokenizer import Tokenizer
from rasa.shared.exceptions import InvalidConfigException
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData

from agent import encoder as encoders
from agent.encoder import DEFAULT_ENCODER
from agent.plugin.fingerprint import source_of
from agent.plugin.runtime import encoder


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.MESSAGE_FEATURIZER, is_trainable=False)
class SentenceFeaturizer(DenseFeaturizer, GraphComponent):
    """Adds a sentence-transformers embedding of each text as its sentence feature, (1, d) float32.

    Classifiers that read features token by token (DIET) also ask for sequence features; those, (tokens, d), are
    zero, since the embedding is one of the whole sentence: let a sparse featurizer describe the tokens.

    `model_name` is the encoder; the bandit's own by default, so that a message is encoded once. `scale` is the length
    of the vectors: at length 1, classifiers that shrink weights (logistic regression) stay unsure of everything.
    """

    @classmethod
    def required_components(cls) -> list[type]:
        """The tokenizer gives the number of rows of the sequence features."""
        return [Tokenizer]

    @staticmethod
    def required_packages() -> list[str]:
        """Packages whose versions are part of the fingerprint."""
        return ["sentence_transformers"]

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        """The configuration unless config.yml says otherwise."""
        return {**DenseFeaturizer.get_default_config(), "model_name": DEFAULT_ENCODER, "scale": 5.0}

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Check the length; whether the model can be loaded shows when it is.

        Raises:
            InvalidConfigException: `scale` is not a positive number.
        """
        scale = config["scale"]
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.0 < scale < math.inf:
            raise InvalidConfigException(f"SentenceFeaturizer: scale must be a positive number; got {scale!r}")

    @classmethod
    def fingerprint_addon(cls, config: dict[str, Any]) -> str | None:  # noqa: ARG003
        """The features change when the encoder's code does."""
        return source_of(encoders)

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,  # noqa: ARG003
        resource: Resource,  # noqa: ARG003
        execution_context: ExecutionContext,
    ) -> SentenceFeaturizer:
        """Make the component; the encoder is loaded here, not while the first customer waits."""
        component = cls(execution_context.node_name, config)
        component.encode([""])
        return component

    def encode(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Embeddings of n texts: (n, d) float32, each of length `scale`."""
        rows = np.array(encoder(self._config["model_name"]).encode(texts), dtype=np.float32)
        return rows * np.float32(self._config["scale"])

    def process(self, messages: list[Message]) -> list[Message]:
        """Add the features to messages, all encoded in batches."""
        found = [
            (message, attribute, message.get(attribute))
            for message in messages
            for attribute in DENSE_FEATURIZABLE_ATTRIBUTES
            if message.get(attribute)
        ]
        if found:
            for (message, attribute, _), row in zip(found, self.encode([text for *_, text in found]), strict=True):
                tokens = len(message.get(TOKENS_NAMES[attribute]) or ())
                sequence = np.zeros((tokens, row.size), dtype=np.float32) if tokens else None
                self.add_features_to_message(sequence, row[np.newaxis, :], attribute, message)
        return messages

    def process_training_data(self, training_data: TrainingData) -> TrainingData:
        """Add the features to the training examples."""
        self.process(training_data.training_examples)
        return training_data
