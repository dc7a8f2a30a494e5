"""An application of FastAPI: a page, an API, uploads, a file, events and a socket."""

import asyncio
import hashlib
import json
import os

from fastapi import FastAPI, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

app = FastAPI()
app.add_middleware(GZipMiddleware, minimum_size=500)
app.add_middleware(CORSMiddleware, allow_origins=["https://pages.example"], allow_methods=["PUT"])
# How many streams of events are open.
streams = 0


@app.get("/", response_class=HTMLResponse)
async def page():
    return "<!doctype html><title>FastAPI</title>" + "<p>A paragraph.</p>" * 100


@app.get("/api/client")
async def client(request: Request):
    return {
        "url": str(request.url),
        "client": request.client.host,
        "base": str(request.base_url),
        "named": str(request.url_for("item", name="a")),
        "query": request.query_params.multi_items(),
    }


@app.api_route("/api/items/{name}", methods=["GET", "PUT", "PATCH", "DELETE"])
async def item(name: str, request: Request):
    return {"name": name, "method": request.method, "body": (await request.body()).decode()}


@app.get("/api/list/")
async def listing():
    return []


@app.get("/go")
async def go(request: Request):
    return RedirectResponse(request.url_for("page"), status_code=303)


@app.post("/upload")
async def upload(file: UploadFile):
    body = await file.read()
    return {"name": file.filename, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@app.post("/stream")
async def stream(request: Request):
    sha256, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        sha256.update(chunk)
        size += len(chunk)
    fields = {name: request.headers.get(name) for name in ("content-length", "transfer-encoding")}
    return {"size": size, "sha256": sha256.hexdigest(), **fields}


@app.get("/source")
async def source():
    return FileResponse(__file__)


@app.get("/poll")
async def poll(seconds: float):
    await asyncio.sleep(seconds)
    return {"waited": seconds}


@app.get("/events")
async def events(request: Request, most: int = 10**9):
    async def produce():
        global streams
        streams += 1
        try:
            for number in range(most):
                yield f"id: {number}\nevent: tick\ndata: {json.dumps({'number': number})}\n\n"
                await asyncio.sleep(0.05)
        finally:
            streams -= 1

    return StreamingResponse(produce(), media_type="text/event-stream")


@app.get("/streams")
async def open_streams():
    return streams


@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_json({"url": str(websocket.url), "client": websocket.client.host})
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as end:
        print(json.dumps({"code": end.code}), flush=True)
