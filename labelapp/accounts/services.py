"""Writes on accounts."""

from __future__ import annotations

import json
import re
import secrets

from django.db import IntegrityError, transaction

from labelapp.accounts.models import User

FIRST_USER = "admin"
# Without characters that are mistaken for one another when they are read off a terminal.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
SHORTCUTS_AT_MOST = 100
_NAME_LENGTH = 100
# One letter or sign, alone or after "g"; digits mark tokens, and "" takes a key away.
_KEY = re.compile(r"(?:g )?[^\s\d]|")


class ShortcutsError(ValueError):
    """Shortcuts that cannot be kept; the message says why in one sentence."""


class AccountError(ValueError):
    """An account that cannot be made; the message says why in one sentence."""


def one_time_password() -> str:
    """Four groups of four, about 78 bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def first_user_ensure() -> tuple[User, str | None]:
    """The first account, and its one-time password if this call made it; nobody can read that again."""
    with transaction.atomic():
        if user := User.objects.filter(is_superuser=True).order_by("pk").first():
            return user, None
        password = one_time_password()
        user = User.objects.create_superuser(FIRST_USER, password=password, must_change_password=True)
    return user, password


def account_create(*, username: str, password: str) -> User:
    """An account with the password that its person chose. Raises AccountError where the name is taken."""
    try:
        with transaction.atomic():
            return User.objects.create_user(username, password=password)
    except IntegrityError:
        raise AccountError(f"There is an account {username!r} already; choose another name.") from None


def one_time_password_reset(user: User) -> str:
    """Give an account a new one-time password and return it."""
    password = one_time_password()
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    return password


def password_set(user: User, password: str) -> None:
    """Set the password that the person chose."""
    user.set_password(password)
    user.must_change_password = False
    user.save(update_fields=["password", "must_change_password"])


def shortcuts_set(user: User, text: str) -> None:
    """Keep the shortcuts that the person has changed, from JSON: {what a key does: the key}. Raises ShortcutsError."""
    try:
        chosen = json.loads(text)
    except ValueError:
        raise ShortcutsError("The shortcuts were not kept: they did not arrive whole. Reload the page.") from None
    if not isinstance(chosen, dict) or len(chosen) > SHORTCUTS_AT_MOST:
        raise ShortcutsError(f"The shortcuts were not kept: at most {SHORTCUTS_AT_MOST} may be changed.")
    for name, key in chosen.items():
        if len(name) > _NAME_LENGTH or not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ShortcutsError("The shortcuts were not kept: a shortcut is one letter or sign, alone or after g.")
    user.shortcuts = chosen
    user.save(update_fields=["shortcuts"])
