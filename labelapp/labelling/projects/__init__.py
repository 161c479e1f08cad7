"""A project from its draft to its end: design, drawing, guidelines, settings."""
