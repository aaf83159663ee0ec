"""What the rules and all stages share: command lines, shards, digests, locks, resources."""
