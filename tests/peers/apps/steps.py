"""Runs the functions of a client, one after the other, and prints one JSON object for each.

The first one that fails prints why, and ends the program with 1.
"""

import asyncio
import inspect
import json
import ssl
import sys
import traceback

from websockets.asyncio.client import connect


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r:.400} is not {wanted!r:.400}")


def run(client, *steps):
    """`client` is passed to each step."""
    for step in steps:
        try:
            outcome = step(client)
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
        except Exception as error:
            said = "".join(traceback.format_exception(error)[-4:])
            print(json.dumps({"step": step.__name__, "ok": False, "error": said}))
            sys.exit(1)
        print(json.dumps({"step": step.__name__, "ok": True}), flush=True)


def socket(url, ca, path, **options):
    """A WebSocket to `path` of the https origin `url`, as a page of that origin opens it."""
    context = ssl.create_default_context(cafile=ca)
    options.setdefault("origin", url)
    return connect(url.replace("https", "wss", 1) + path, ssl=context, **options)
