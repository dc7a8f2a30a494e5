"""The client of docs/rolling-updates.md.

    rolling.py URL CA_FILE

Prints {"waited": SECONDS}, the time from the end of the first connection to the beginning of the second.
"""

import asyncio
import json
import pathlib
import re
import ssl
import sys
import time

url, ca_file = sys.argv[1:]
page = pathlib.Path(__file__).parents[2].joinpath("docs/rolling-updates.md").read_text()
snippet = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
client = {}
exec(snippet, client)  # noqa: S102
plain_connect = client["connect"]
ended = []


class Connect:
    """Notes when the first connection ended, and stops at the second."""

    def __init__(self, target):
        if ended:
            print(json.dumps({"waited": time.monotonic() - ended[0]}))
            sys.exit(0)
        self.connection = plain_connect(target, ssl=ssl.create_default_context(cafile=ca_file))

    async def __aenter__(self):
        return await self.connection.__aenter__()

    async def __aexit__(self, *error):
        ended.append(time.monotonic())
        return await self.connection.__aexit__(*error)


async def ignore(message):
    pass


client["connect"] = Connect
asyncio.run(client["stay_connected"](url, ignore))
