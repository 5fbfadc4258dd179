"""One file a command: ``add_arguments(parser)`` and ``run(arguments) -> exit code``.

Importing them must stay cheap; whatever is heavy is imported inside ``run``.
"""
