"""A client of the application of FastAPI: fastapi_client.py URL CA_FILE."""

import hashlib
import io
import json
import os
import sys
import time

import requests
from steps import run, same, socket

url, ca = sys.argv[1:]
http = requests.Session()
http.verify, http.trust_env = ca, False


def get(path, **options):
    return http.get(url + path, timeout=40, **options)


def page(_):
    answer = get("/")
    same((answer.status_code, answer.headers["content-encoding"]), (200, "gzip"))
    same(answer.text.count("<p>"), 100)
    plain = get("/", headers={"Accept-Encoding": "identity"})
    same((plain.text, "content-encoding" in plain.headers), (answer.text, False))


def urls_are_those_of_the_client(_):
    answer = get("/api/client", params=[("a", "1"), ("a", "ü /;"), ("b", "")]).json()
    same(answer["base"], url + "/")
    same(answer["named"], url + "/api/items/a")
    same(answer["client"], "127.0.0.1")
    same(answer["query"], [["a", "1"], ["a", "ü /;"], ["b", ""]])


def redirects_stay_on_https(_):
    answer = get("/api/list", allow_redirects=False)
    same((answer.status_code, answer.headers["location"]), (307, url + "/api/list/"))
    same(get("/api/list").json(), [])
    answer = get("/go")
    same((answer.url, [step.status_code for step in answer.history]), (url + "/", [303]))


def api(_):
    same(get("/api/items/a%20b").json(), {"name": "a b", "method": "GET", "body": ""})
    for method in ("PUT", "PATCH", "DELETE"):
        answer = http.request(method, url + "/api/items/x", data="body of " + method)
        same(answer.json(), {"name": "x", "method": method, "body": "body of " + method})
    answer = get("/api/nothing")
    same((answer.status_code, answer.json()), (404, {"detail": "Not Found"}))
    same(http.post(url + "/api/list/").status_code, 405)
    same(get("/openapi.json").json()["openapi"][0], "3")
    same(get("/docs").status_code, 200)


def preflight(_):
    fields = {"Origin": "https://pages.example", "Access-Control-Request-Method": "PUT"}
    answer = http.options(url + "/api/items/x", headers=fields)
    same(answer.headers["access-control-allow-origin"], "https://pages.example")


def head_range_and_condition(_):
    source = open(os.path.join(os.path.dirname(__file__), "fastapi_app.py"), "rb").read()
    plain = {"Accept-Encoding": "identity"}
    whole = get("/source", headers=plain)
    same(whole.content, source)
    # A GET route of FastAPI has no HEAD: its 405 has the length of a body that does not come.
    head = http.head(url + "/source", headers=plain)
    same((head.status_code, head.content), (405, b""))
    part = get("/source", headers={"Range": "bytes=10-19", **plain})
    same((part.status_code, part.content), (206, source[10:20]))
    same(part.headers["content-range"], f"bytes 10-19/{len(source)}")
    parts = get("/source", headers={"Range": "bytes=0-1,9-9", **plain})
    same(parts.status_code, 206)
    fields = {"Range": "bytes=0-4", "If-Range": '"another"', **plain}
    same(get("/source", headers=fields).status_code, 200)


def uploads(_):
    body = os.urandom(9 * 2**20)
    answer = http.post(url + "/upload", files={"file": ("ü.bin", io.BytesIO(body))})
    digest = hashlib.sha256(body).hexdigest()
    same(answer.json(), {"name": "ü.bin", "size": len(body), "sha256": digest})
    chunks = (body[start : start + 70_000] for start in range(0, len(body), 70_000))
    answer = http.post(url + "/stream", data=chunks).json()
    same((answer["size"], answer["sha256"]), (len(body), digest))
    same((answer["content-length"], answer["transfer-encoding"]), (None, "chunked"))


def too_large(_):
    answer = http.post(url + "/stream", data=bytes(11 * 2**20))
    same((answer.status_code, answer.json()["reason"]), (413, "body.too_large"))


def events(_):
    with get("/events", stream=True) as answer:
        same(answer.headers["content-type"], "text/event-stream; charset=utf-8")
        began, lines = time.monotonic(), answer.iter_lines(chunk_size=1)
        for number in range(5):
            text = [next(lines).decode() for _ in range(4)]
            same(text[:2], [f"id: {number}", "event: tick"])
            same(json.loads(text[2].removeprefix("data: ")), {"number": number})
        # They came while the stream was open, not all at its end.
        assert time.monotonic() - began < 10
        same(get("/streams").json(), 1)
    deadline = time.monotonic() + 10
    while get("/streams").json() != 0:
        assert time.monotonic() < deadline, "the application never heard that the client left"
        time.sleep(0.05)
    same(get("/events", params={"most": 3}).text.count("event: tick"), 3)


def long_poll(_):
    same(get("/poll", params={"seconds": 26}).json(), {"waited": 26})


async def web_socket(_):
    async with socket(url, ca, "/ws?a=1") as ws:
        hello = json.loads(await ws.recv())
        same(hello, {"url": url.replace("https", "wss") + "/ws?a=1", "client": "127.0.0.1"})
        for text in ("hello", "Grüße", "x" * 500_000):
            await ws.send(text)
            same(await ws.recv(), text)
    same(ws.close_code, 1000)


run(
    None, page, urls_are_those_of_the_client, redirects_stay_on_https, api, preflight,
    head_range_and_condition, uploads, too_large, events, web_socket, long_poll,
)
