"""The one exception for input that the user can mend."""


class InputError(ValueError):
    """Input that the user can mend; the command prints it as one sentence and exits with 2."""
