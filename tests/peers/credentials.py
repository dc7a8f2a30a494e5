"""What the parsers of Python's frameworks find in requests.

    python credentials.py FILE

FILE is a JSON list of requests, each {"target": ..., "fields": [[name, value], ...]} with one character
a byte. Prints one JSON list a request: everything that a parser takes for the cookie `session`, the
parameter `access_token` or a bearer token, as [parser, value].
"""

import http.cookies
import json
import sys
import urllib.parse

import django.conf
from django.core.handlers.wsgi import WSGIRequest
from starlette.requests import Request as StarletteRequest
from werkzeug.wrappers import Request as WerkzeugRequest

django.conf.settings.configure(DEFAULT_CHARSET="utf-8")


def environ(request):
    path, _, query = request["target"].partition("?")
    found = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": sys.stdin.buffer,
    }
    for name, value in request["fields"]:
        name = "HTTP_" + name.upper().replace("-", "_")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def scope(request):
    path, _, query = request["target"].partition("?")
    fields = request["fields"]
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
    }


def bearer(parser, value):
    """Both ways in which applications split the field."""
    for way, parts in (("partition", value.partition(" ")[::2]), ("split", value.split(None, 1))):
        if len(parts) == 2 and parts[0].lower() == "bearer":
            yield f"{parser} {way}", parts[1]


def simple_cookie(lines):
    for text in lines:
        cookies = http.cookies.SimpleCookie()
        try:
            cookies.load(text)
        except http.cookies.CookieError:
            continue
        if "session" in cookies:
            yield "http.cookies", cookies["session"].value


def seen(request):
    wsgi, asgi = environ(request), StarletteRequest(scope(request))
    werkzeug, django_request = WerkzeugRequest(wsgi), WSGIRequest(wsgi)
    lines = [value for name, value in request["fields"] if name.lower() == "cookie"]
    yield from simple_cookie([*lines, ",".join(lines), "; ".join(lines)])
    query = request["target"].partition("?")[2]
    for parser, cookies, parameters in (
        ("starlette", asgi.cookies, asgi.query_params),
        ("werkzeug", werkzeug.cookies, werkzeug.args),
        ("django", django_request.COOKIES, django_request.GET),
        ("urllib", {}, dict(urllib.parse.parse_qsl(query))),
        ("urllib ;", {}, dict(urllib.parse.parse_qsl(query, separator=";"))),
    ):
        yield f"{parser} cookie", cookies.get("session")
        yield f"{parser} query", parameters.get("access_token")
    yield from bearer("starlette", asgi.headers.get("authorization", ""))
    yield from bearer("wsgi", wsgi.get("HTTP_AUTHORIZATION", ""))
    authorization = werkzeug.authorization
    if authorization is not None and authorization.type == "bearer":
        yield "werkzeug authorization", authorization.token


with open(sys.argv[1], encoding="ascii") as file:
    for each in json.load(file):
        print(json.dumps([[parser, value] for parser, value in seen(each) if value]))
