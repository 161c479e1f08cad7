import json
from typing import Any

from django.http import HttpRequest

# Name, address, key after "g".
PAGES = (
    ("Models", "atlas:models", "m"),
    ("Label", "labelling:projects", "l"),
    ("Review", "review:projects", "r"),
    ("Runs", "autolabel:runs", "u"),
    ("Figures", "figures:index", "f"),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """The pages of the bar at the top, with the current one marked by its room, and the person's own shortcuts."""
    match = request.resolver_match
    room = match.app_name if match else ""
    return {
        "pages": [(name, view, key, view.split(":")[0] == room) for name, view, key in PAGES],
        # Called where it is shown: a page that answers without a database asks for no user.
        "shortcuts": lambda: json.dumps(getattr(request.user, "shortcuts", {})),
    }
