"""The pages: the admin of Django, a form, and a view of the request."""

import json

from django.contrib import admin
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path


def form(request):
    if request.method == "POST":
        request.session["text"] = request.POST["text"]
        return redirect("/told/")
    token = get_token(request)
    field = f'<input type="hidden" name="csrfmiddlewaretoken" value="{token}">'
    return HttpResponse(f'<form method="post">{field}<input name="text"></form>')


def told(request):
    return JsonResponse(
        {
            "text": request.session.get("text"),
            "absolute": request.build_absolute_uri("/x"),
            "secure": request.is_secure(),
            "user": request.user.username,
            "forwarded_for": request.META["HTTP_X_FORWARDED_FOR"],
        }
    )


def upload(request):
    return JsonResponse({"size": sum(len(chunk) for chunk in request.FILES["file"].chunks())})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("", form),
    path("told/", told),
    path("upload/", upload),
]
