// Lua in colours: a line as pieces of text with a kind each ("comment", "string", "number", "keyword", "name", …).

const KEYWORDS = new Set(("and break do else elseif end false for function goto if in local nil not or repeat return then " +
  "true until while").split(" "));
const TOKEN = /(--\[(=*)\[|--[^\n]*|\[(=*)\[)|("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)|(0[xX][\da-fA-F.]+(?:[pP][+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)/g;

// The pieces of a line. `state` is what the line before left open ({close, kind} of a long comment or string) or null;
// returns [pieces, state after the line].
export function colourLine(line, state = null) {
  const pieces = [];
  const push = (kind, text) => { if (text) pieces.push([kind, text]); };
  let at = 0;
  while (at < line.length) {
    if (state) {
      const end = line.indexOf(state.close, at);
      if (end < 0) {
        push(state.kind, line.slice(at));
        return [pieces, state];
      }
      push(state.kind, line.slice(at, end + state.close.length));
      at = end + state.close.length;
      state = null;
      continue;
    }
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(line);
    push("plain", line.slice(at, found ? found.index : line.length));
    if (!found) break;
    const [text, opener, commentLevel, stringLevel, string, number, name] = found;
    at = found.index + text.length;
    if (opener !== undefined && (commentLevel !== undefined || stringLevel !== undefined)) {
      state = {close: `]${commentLevel ?? stringLevel}]`, kind: commentLevel !== undefined ? "comment" : "string"};
      push(state.kind, text);
    } else if (opener !== undefined) push(/^--\s*(BEGIN|END) EDITABLE/.test(text) ? "marker" : "comment", text);
    else if (string !== undefined) push("string", text);
    else if (number !== undefined) push("number", text);
    else push(KEYWORDS.has(name) ? "keyword" : line[at] === "(" ? "call" : "name", text);
  }
  return [pieces, state];
}
