from dataclasses import asdict

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from labelapp.operations.health import health_checks


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 where everything is well, else 503; a page for people, JSON for everybody else."""
    checks = health_checks()
    healthy = all(check.ok for check in checks)
    status = 200 if healthy else 503
    if request.GET.get("format") != "json" and "text/html" in request.headers.get("accept", ""):
        return render(request, "operations/health.html", {"checks": checks, "healthy": healthy}, status=status)
    return JsonResponse({"healthy": healthy, "checks": [asdict(check) for check in checks]}, status=status)
