"""The `treering` command: options in, sentences and exit codes out; installed as the package treering_cli."""
