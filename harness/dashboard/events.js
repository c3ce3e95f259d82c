// Server-sent events over fetch, which, unlike EventSource, can send a token in a header.

// Feed it text as it comes; onEvent(kind, data, id) hears each event (HTML's rules, but for lines that end with a lone CR).
export class EventParser {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.text = "";
    this.id = "";
    this.clear();
  }

  clear() {
    this.kind = "message";
    this.data = [];
  }

  add(text) {
    const lines = (this.text + text).split("\n");
    this.text = lines.pop();
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length > 0) this.onEvent(this.kind, this.data.join("\n"), this.id);
      return this.clear();
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.kind = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
  }
}

// Reads a response's events until it ends.
export async function readEvents(response, parser) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    parser.add(decoder.decode(value, {stream: true}));
  }
}
