"""A client as people write it: runs scenarios against an echo application.

    client.py URL CA_FILE [SCENARIO...]

Prints one JSON object a scenario, {"step": ..., "ok": true, ...}. The first one that fails says
why, and ends the program with 1.
"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

MIB = 2**20


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r:.200} is not {wanted!r:.200}")


async def echoed(ws, message):
    await ws.send(message)
    same(await ws.recv(), message)


async def text(ws):
    await echoed(ws, "hello")


async def binary(ws):
    await echoed(ws, bytes(range(256)))


async def empty(ws):
    await echoed(ws, "")
    await echoed(ws, b"")


async def non_ascii(ws):
    await echoed(ws, "Grüße, 世界, \U0001f600, e\u0301")


async def large(ws):
    await echoed(ws, "ä" * (MIB // 2))
    await echoed(ws, bytes(MIB))


async def large_from_application(ws):
    await ws.send(f"big {MIB}")
    same(await ws.recv(), bytes(MIB))


async def fragments(ws):
    await ws.send(["one ", "", "two ", "drei ü"])
    same(await ws.recv(), "one two drei ü")


async def fragments_from_application(ws):
    await ws.send("fragment 5")
    parts = [part async for part in ws.recv_streaming()]
    same("".join(parts), "".join(f"part{index} " for index in range(5)))
    if len(parts) < 5:
        raise AssertionError(f"the fragments were joined: {parts}")


async def ping(ws):
    await (await ws.ping("are you there"))
    await echoed(ws, "still here")


async def ping_from_application(ws):
    await ws.send("ping-me hi")
    same(await ws.recv(), "ponged hi")


async def many_in_order(ws):
    messages = [f"message {index}" for index in range(500)]

    async def send():
        for message in messages:
            await ws.send(message)

    sending = asyncio.create_task(send())
    same([await ws.recv() for _ in messages], messages)
    await sending


async def no_extension(ws):
    same([extension.name for extension in ws.protocol.extensions], [])
    await ws.send("extensions")
    same(json.loads(await ws.recv()), [])


async def close_from_application(ws):
    await ws.send("close 4001 bye")
    try:
        await ws.recv()
    except ConnectionClosed as closed:
        same((closed.rcvd.code, closed.rcvd.reason), (4001, "bye"))
        return {"code": closed.rcvd.code, "reason": closed.rcvd.reason}
    raise AssertionError("a message instead of a Close")


async def lost(ws):
    await ws.send("die")
    try:
        await ws.recv()
    except ConnectionClosed as closed:
        return {"code": closed.rcvd.code, "reason": closed.rcvd.reason}
    raise AssertionError("a message instead of a Close")


async def close(ws):
    await ws.close(4002, "done")
    same((ws.close_code, ws.close_reason), (4002, "done"))
    return {"code": ws.close_code, "reason": ws.close_reason}


async def subprotocol(ws):
    return {"subprotocol": ws.subprotocol}


async def first_message(ws):
    await ws.send("token-of-alice")
    same(await ws.recv(), "welcome alice")


async def refused(url, context):
    try:
        async with connect(url, ssl=context):
            raise AssertionError("the handshake was accepted")
    except InvalidStatus as error:
        problem = json.loads(error.response.body)
        return {"status": error.response.status_code, "reason": problem["reason"]}


async def extension(ws):
    same([extension.name for extension in ws.protocol.extensions], ["permessage-deflate"])
    await ws.send("extensions")
    same(json.loads(await ws.recv()), ["permessage-deflate"])


async def compressed(ws):
    for number in range(3):
        await echoed(ws, f"message {number}: " + "Grüße " * 500)


OFFERS = {subprotocol: ["chat.v9", "chat.v2"]}
SCENARIOS = [
    text,
    binary,
    empty,
    non_ascii,
    large,
    large_from_application,
    fragments,
    fragments_from_application,
    ping,
    ping_from_application,
    many_in_order,
    no_extension,
    close_from_application,
    close,
]
FURTHER = [lost, subprotocol, first_message, extension, compressed]
NAMED = {scenario.__name__: scenario for scenario in [*SCENARIOS, *FURTHER]}


async def run(name, url, context):
    async with asyncio.timeout(20):
        if name == "refused":
            return await refused(url, context)
        scenario = NAMED[name]
        async with connect(
            url, ssl=context, subprotocols=OFFERS.get(scenario), max_size=4 * MIB
        ) as ws:
            return await scenario(ws)


async def main():
    url, ca_file, *names = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca_file)
    for name in names or [scenario.__name__ for scenario in SCENARIOS]:
        try:
            result = await run(name, url, context)
        except Exception as error:
            print(json.dumps({"step": name, "ok": False, "error": repr(error)}))
            return 1
        print(json.dumps({"step": name, "ok": True, **(result or {})}))
    return 0


sys.exit(asyncio.run(main()))
