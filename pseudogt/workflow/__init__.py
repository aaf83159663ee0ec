"""Shared parts of the rules and stages: command lines, shards, digests, locks, resources."""
