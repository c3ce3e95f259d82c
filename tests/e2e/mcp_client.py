"""An MCP client of the official Python SDK, as a program: it connects, then obeys lines of JSON on its standard input and
answers each with one. Runs in .deps/test-venv; McpClient in mcp_test.py is the other end.

usage: mcp_client.py MODE URL | MODE COMMAND ARGUMENT…    MODE: "auto" (the newest protocol) or "legacy" (with a handshake)"""

import json
import os
import pathlib
import sys

import anyio
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters


async def obey(client, order):
    what, arguments, touch, progress = order.pop("do"), order.pop("arguments", None), order.pop("touch", None), []

    async def note(done, total, message):
        progress.append([done, total, message])
        if touch:  # a file that tells the test so
            pathlib.Path(touch).touch()

    if what == "hello":
        info = client.server_info
        return {"version": client.protocol_version, "server": info.name, "instructions": client.instructions,
                "capabilities": client.server_capabilities.model_dump(exclude_none=True)}
    if what == "tool":
        timeout = order.get("timeout")
        try:
            # The SDK refuses an answer that does not fit the tool's output schema.
            result = await client.call_tool(order["name"], arguments, progress_callback=note if order.get("progress") else None,
                                            read_timeout_seconds=timeout)
        except TimeoutError:
            return {"timeout": True}
        return {**result.model_dump(mode="json", by_alias=True), "progress": progress}
    calls = {"tools": client.list_tools, "resources": client.list_resources, "templates": client.list_resource_templates,
             "prompts": client.list_prompts}
    if what in calls:
        return (await calls[what]()).model_dump(mode="json", by_alias=True)
    if what == "read":
        return (await client.read_resource(order["uri"])).model_dump(mode="json", by_alias=True)
    if what == "prompt":
        return (await client.get_prompt(order["name"], arguments)).model_dump(mode="json", by_alias=True)
    if what == "ping":
        return (await client.session.send_ping()).model_dump(mode="json", by_alias=True)
    raise ValueError(what)


async def main(mode, target):
    server = target[0] if target[0].startswith("http") else StdioServerParameters(
        command=target[0], args=target[1:], env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            try:
                answer = await obey(client, json.loads(line))
            except MCPError as error:
                answer = {"error": {"code": error.code, "message": error.message, "data": error.error.data}}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
