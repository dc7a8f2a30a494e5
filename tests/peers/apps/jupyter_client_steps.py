"""A client of Jupyter Server, as JupyterLab uses it: jupyter_client_steps.py URL CA_FILE."""

import json
import sys
import uuid

import requests
from steps import run, same, socket

url, ca = sys.argv[1:]
TOKEN = "a-token-of-the-tests"
http = requests.Session()
http.verify, http.trust_env = ca, False


def page_and_login(_):
    answer = http.get(url + "/tree", allow_redirects=False)
    assert answer.status_code in (302, 404), answer.status_code
    same(http.get(url + "/api/contents").status_code, 403)
    page = http.get(url + "/login")
    same(page.status_code, 200)
    form = {"_xsrf": http.cookies["_xsrf"], "password": TOKEN}
    answer = http.post(url + "/login?next=%2Fapi%2Fstatus", data=form, headers={"Origin": url, "Referer": url + "/login"})
    same((answer.status_code, answer.url), (200, url + "/api/status"))
    http.headers["X-XSRFToken"] = http.cookies["_xsrf"]
    http.headers["Origin"] = url


def contents(_):
    body = {"type": "file", "format": "text", "content": "Grüße\n" * 200_000}
    for name in ("a b ü.txt", "a;b,c.txt", "100%.txt", "it's (1) [x] {y}.txt"):
        path = "/api/contents/" + requests.utils.quote(name)
        same((name, http.put(url + path, json=body).status_code), (name, 201))
        same(http.get(url + path).json()["content"], body["content"])
        same(http.get(url + path.replace("/api/contents", "/files")).text, body["content"])
        same(http.delete(url + path).status_code, 204)


async def kernel(_):
    started = http.post(url + "/api/kernels", json={"name": "python3"})
    same(started.status_code, 201)
    assert started.headers["location"].startswith("/api/kernels/"), started.headers
    identity, session = started.json()["id"], uuid.uuid4().hex
    cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    path = f"/api/kernels/{identity}/channels?session_id={session}"
    async with socket(url, ca, path, additional_headers={"Cookie": cookies}) as ws:
        header = {
            "msg_id": uuid.uuid4().hex, "session": session, "username": "", "version": "5.4",
            "date": "2026-01-01T00:00:00Z", "msg_type": "execute_request",
        }
        content = {"code": "print(6 * 7)", "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True, "user_expressions": {}}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
        await ws.send(json.dumps(message))
        printed, done = "", False
        while not (printed and done):
            got = json.loads(await ws.recv())
            if got["msg_type"] == "stream":
                printed += got["content"]["text"]
            done = done or got["msg_type"] == "execute_reply"
        same(printed, "42\n")
    same(http.delete(url + f"/api/kernels/{identity}").status_code, 204)


async def terminal(_):
    name = http.post(url + "/api/terminals", json={}).json()["name"]
    cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    async with socket(url, ca, f"/terminals/websocket/{name}", additional_headers={"Cookie": cookies}) as ws:
        await ws.send(json.dumps(["stdin", "echo $((6 * 7))x\r"]))
        said = ""
        while "42x" not in said:
            kind, *texts = json.loads(await ws.recv())
            said += texts[0] if kind == "stdout" else ""
    same(http.delete(url + f"/api/terminals/{name}").status_code, 204)


run(None, page_and_login, contents, kernel, terminal)
