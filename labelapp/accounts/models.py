from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person with an account. Roles are given project by project, to superusers too."""

    # A one-time password is good for one sign-in: every page leads to the change of it.
    must_change_password = models.BooleanField(default=False)
    # The shortcuts that the person has changed: {what a key does: the key, or "" for none}.
    shortcuts = models.JSONField(default=dict, blank=True)
