"""An application that wants a token as the first message: welcomes its user, or closes with 4401.

    welcome.py PORT
"""

import asyncio
import json
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

USERS = {"token-of-alice": "alice", "token-of-bob": "bob"}


async def handle(ws):
    try:
        user = USERS.get(await ws.recv())
        if user is None:
            await ws.close(4401, "unknown token")
        else:
            await ws.send(f"welcome {user}")
            async for message in ws:
                await ws.send(f"{user}: {message}")
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    print(json.dumps({"code": ws.close_code, "reason": ws.close_reason}), flush=True)


async def main():
    async with serve(handle, "127.0.0.1", int(sys.argv[1])) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
