"""A view that pseudonymizes rows."""

import json

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from secureml import anonymize
from secureml.errors import SecretError


@csrf_exempt
@require_POST
def hide(request: HttpRequest) -> JsonResponse:
    rows = json.loads(request.body)
    try:
        hidden, manifest = anonymize(rows, sensitive_columns=["ssn"], return_manifest=True)
    except SecretError as error:
        return JsonResponse({"error": type(error).__name__}, status=503)
    return JsonResponse({"rows": hidden, "manifest": manifest})
