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
    """The pages of the bar at the top, with the current one marked by its room."""
    match = request.resolver_match
    room = match.app_name if match else ""
    return {"pages": [(name, view, key, view.split(":")[0] == room) for name, view, key in PAGES]}
