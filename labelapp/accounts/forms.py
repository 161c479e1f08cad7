from typing import Any

from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm, UserCreationForm

from labelapp.accounts.models import User


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "Name and password do not belong together. Passwords are case-sensitive.",
        "inactive": "This account is closed.",
    }


class OneTimePasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    """For someone who has just signed in with a one-time password: it is not asked for again."""


class PasswordForm(PasswordChangeForm):
    error_messages = {
        **SetPasswordForm.error_messages,
        "password_incorrect": "That is not your present password.",
    }


class NewAccountForm(UserCreationForm):  # type: ignore[type-arg]
    """For someone who was invited: a name, and a password twice."""

    class Meta:
        model = User
        fields = ("username",)
        labels = {"username": "Name"}
        help_texts = {"username": "Letters, digits and @ . + - _; others in the project see it."}


def password_form(user: User, data: Any = None) -> OneTimePasswordForm | PasswordForm:
    """The form for this person, with the present password asked for unless it is a one-time one."""
    form = OneTimePasswordForm if user.must_change_password else PasswordForm
    return form(user, data)
