"""A client of the application of Django, as a browser uses it: django_client.py URL CA_FILE."""

import json
import os
import re
import sys

import requests
from steps import run, same, socket

url, ca = sys.argv[1:]
http = requests.Session()
http.verify, http.trust_env = ca, False


def token_of(page):
    return re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)


def post(path, fields, **headers):
    """What a browser sends with a form: the Origin, and the page as Referer."""
    headers = {"Origin": url, "Referer": url + path, **headers}
    return http.post(url + path, data=fields, headers=headers)


def page(_):
    answer = http.get(url + "/")
    same((answer.status_code, len(answer.history)), (200, 0))
    cookies = answer.headers["set-cookie"]
    assert "csrftoken=" in cookies and "Secure" in cookies, cookies


def form_with_csrf(_):
    form = {"csrfmiddlewaretoken": token_of(http.get(url + "/").text), "text": "Grüße"}
    answer = post("/", form)
    same((answer.url, [step.status_code for step in answer.history]), (url + "/told/", [302]))
    told = {
        "text": "Grüße",
        "absolute": url + "/x",
        "secure": True,
        "user": "",
        "forwarded_for": "127.0.0.1",
    }
    same(answer.json(), told)


def csrf_still_protects(_):
    form = {"csrfmiddlewaretoken": token_of(http.get(url + "/").text), "text": "x"}
    same(post("/", form, Origin="https://evil.example").status_code, 403)
    same(post("/", {"text": "x"}).status_code, 403)
    no_origin = http.post(url + "/", data=form, headers={"Referer": "https://evil.example/"})
    same(no_origin.status_code, 403)


def redirects_stay_on_https(_):
    answer = http.get(url + "/told", allow_redirects=False)
    same((answer.status_code, answer.headers["location"]), (301, "/told/"))
    answer = http.get(url + "/admin/", allow_redirects=False)
    same((answer.status_code, answer.headers["location"]), (302, "/admin/login/?next=/admin/"))


def admin(_):
    login = "/admin/login/?next=/admin/"
    form = {"csrfmiddlewaretoken": token_of(http.get(url + login).text)}
    answer = post(login, {**form, "username": "ada", "password": "engine"})
    same((answer.status_code, answer.url), (200, url + "/admin/"))
    assert "Site administration" in answer.text
    page = http.get(url + "/admin/auth/user/add/")
    fields = {"username": "bob", "usable_password": "true", "password1": "engine-42", "password2": "engine-42"}
    answer = post("/admin/auth/user/add/", {"csrfmiddlewaretoken": token_of(page.text), **fields})
    same((answer.status_code, answer.url), (200, url + "/admin/auth/user/2/change/"))
    changes = http.get(url + "/admin/auth/user/?q=bob&is_staff__exact=0")
    assert "1 user" in changes.text
    same(http.get(url + "/static/admin/css/base.css").status_code, 200)


def upload(_):
    body = os.urandom(5 * 2**20)
    fields = {"X-CSRFToken": http.cookies["csrftoken"], "Referer": url + "/"}
    answer = http.post(url + "/upload/", files={"file": ("a.bin", body)}, headers=fields)
    same(answer.json(), {"size": len(body)})


async def chat(_):
    cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    fields = {"Cookie": cookies}
    async with socket(url, ca, "/ws/chat/", additional_headers=fields) as ada:
        same(json.loads(await ada.recv()), {"user": "ada"})
        async with socket(url, ca, "/ws/chat/") as other:
            same(json.loads(await other.recv()), {"user": ""})
            await other.send("Grüße")
            same((await other.recv(), await ada.recv()), ("Grüße", "Grüße"))


run(None, page, form_with_csrf, csrf_still_protects, redirects_stay_on_https, admin, upload, chat)
