"""A client of the demo: talk.py TOKEN [TEXT | --bytes N | --stay]. Needs `pip install websockets`."""

import os
import ssl
import sys

try:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect
except ImportError:
    sys.exit("Install the client library first: pip install websockets")

token, *rest = sys.argv[1:]
context = ssl.create_default_context(cafile=os.environ["CA"])
with connect(
    os.environ["WSS"], ssl=context, additional_headers={"Authorization": f"Bearer {token}"}
) as socket:
    print(socket.recv())
    try:
        match rest:
            case ["--bytes", count]:
                socket.send(bytes(int(count)))
                socket.recv()
            case ["--stay"]:
                for message in socket:
                    print(message)
                print(f"closed with {socket.close_code} {socket.close_reason}")
            case texts:
                for text in texts:
                    socket.send(text)
                    print(socket.recv())
    except ConnectionClosed as closed:
        print(f"closed with {closed.rcvd.code} {closed.rcvd.reason}")
