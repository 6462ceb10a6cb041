"""InputError, raised wherever the input is wrong."""


class InputError(ValueError):
    """The user's input is wrong. The message names the value, the place and the next step.

    Commands print it as one sentence without a traceback and exit with 2.
    """
