"""Who takes part in a project, and the invitations."""
