"""How a project goes: progress, quality, plan, results."""
