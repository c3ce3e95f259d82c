#!/usr/bin/env python3
"""A whole research agent: a chat model works on a task of bitloop until it submits. Standard library only.

    docs/agent.py BITLOOP_URL CHAT_URL MODEL [TASK | SESSION]

BITLOOP_URL is what `bitloop serve` prints; CHAT_URL any OpenAI-style .../v1/chat/completions, with $CHAT_API_KEY if it
is set. A session's id in place of a task goes on with that session. More in docs/agents.md."""
import json
import os
import sys
import urllib.error
import urllib.request

BITLOOP, CHAT, MODEL, TASK = (sys.argv[1:] + ["quick"])[:4]
VERSION = "2026-07-28"  # of MCP, without a handshake: every request stands alone
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": f"agent.py {MODEL}", "version": "1"}}
FORMAT = '\n\nAnswer every message with one JSON object: {"tool": "NAME", "arguments": {...}}, without `session`. The tools:\n'


def post(url, body, headers):
    headers = {"Content-Type": "application/json", **headers}
    return json.load(urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=600))


def mcp(method, **params):
    headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method, "Mcp-Name": params.get("name", "")}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return post(BITLOOP + "/mcp", body, headers)["result"]


def chat(messages):
    key = os.environ.get("CHAT_API_KEY", "none")
    answer = post(CHAT, {"model": MODEL, "messages": messages}, {"Authorization": f"Bearer {key}"})
    return answer["choices"][0]["message"]["content"]


def act(reply, session):  # the tool that the model called, whether it was refused, and what the model reads next
    try:
        order, _ = json.JSONDecoder().raw_decode(reply[reply.index("{"):])
        result = mcp("tools/call", name=order["tool"], arguments={**order.get("arguments", {}), "session": session})
        return order["tool"], result["isError"], result["content"][0]["text"]
    except (ValueError, KeyError, TypeError, urllib.error.HTTPError):
        return None, True, "Answer with one JSON object that has `tool`, the name of a tool, and `arguments`."


begun = mcp("tools/call", name="begin", arguments={"session" if TASK.count("-") > 1 else "task": TASK})
if begun["isError"]:
    sys.exit(begun["content"][0]["text"])
state = begun["structuredContent"]["state"]
prompt = mcp("prompts/get", name="program", arguments={"task": state["task"]})["messages"][0]
tools = [f'{tool["name"]}: {tool["description"]} {json.dumps(tool["inputSchema"])}' for tool in mcp("tools/list")["tools"]]
messages = [{"role": "system", "content": prompt["content"]["text"] + FORMAT + "\n".join(tools)},
            {"role": "user", "content": begun["content"][0]["text"]}]
tool, refused = None, False
while tool != "submit" or refused:
    reply = chat(messages)
    tool, refused, text = act(reply, state["id"])
    print(f"{reply}\n{text}\n", flush=True)
    messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": text}]
