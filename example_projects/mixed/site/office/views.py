"""Pictures over HTTP."""

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import pgq_django
from office.models import Picture


@csrf_exempt
def add_picture(request: HttpRequest) -> JsonResponse:
    """The picture and the service's job are one transaction of Django's."""
    with transaction.atomic():
        picture = Picture.objects.create(name=json.loads(request.body)["name"])
        job = pgq_django.enqueue(
            "thumbnail", {"picture": picture.pk, "name": picture.name}, queue="pictures"
        )
    return JsonResponse({"picture": picture.pk, "job": job})
