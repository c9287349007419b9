"""Rasa's side: policy, replies, featurizer and event broker."""
