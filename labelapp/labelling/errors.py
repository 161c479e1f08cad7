"""What goes wrong in projects."""


class LabellingError(ValueError):
    """Something that cannot be done in a project; the message says why in one sentence."""
