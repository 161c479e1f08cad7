"""Language models as judges: prompts, providers, pacing and parsing.

Nothing here imports Django, and openai is imported only by `workers.llm.client` when a client is opened; see
docs/autolabel.md for its use from a notebook.
"""
