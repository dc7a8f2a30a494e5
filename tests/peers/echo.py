"""An application as people write it: echoes every message.

    echo.py PORT [--subprotocols]

PORT 0 is a free one; "listening PORT" is printed. A few texts are commands instead, see `obey`.
When a connection ends, its close code and reason are printed as one JSON object a line.
"""

import argparse
import asyncio
import json
import os
import signal

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def obey(ws, text):
    """Does what `text` asks for. Returns whether it was a command."""
    command, *arguments = text.split(" ")
    match command, arguments:
        case "close", [code, reason]:
            await ws.close(int(code), reason)
        case "fragment", [count]:
            await ws.send([f"part{index} " for index in range(int(count))])
        case "big", [size]:
            await ws.send(bytes(int(size)))
        case "ping-me", [payload]:
            await (await ws.ping(payload))
            await ws.send(f"ponged {payload}")
        case "die", []:
            os._exit(1)
        case "extensions", []:
            names = [extension.name for extension in ws.protocol.extensions]
            await ws.send(json.dumps(names))
        case "header", [name]:
            await ws.send(json.dumps(ws.request.headers.get_all(name)))
        case _:
            return False
    return True


async def handle(ws):
    try:
        async for message in ws:
            if isinstance(message, str) and await obey(ws, message):
                continue
            await ws.send(message)
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    print(json.dumps({"code": ws.close_code, "reason": ws.close_reason}), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--subprotocols", action="store_true")
    arguments = parser.parse_args()
    subprotocols = ["chat.v1", "chat.v2"] if arguments.subprotocols else None
    async with serve(
        handle, "127.0.0.1", arguments.port, subprotocols=subprotocols, max_size=4 * 2**20
    ) as server:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, server.close)
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


asyncio.run(main())
