// What changed between two commits of a session, as lines with both numbers, signs, and Lua in colours.
import {getJson, sessionPath} from "./api.js";
import {h, replace, select} from "./dom.js";
import {time} from "./format.js";
import {colourLine} from "./lua.js";

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;
const SIGNS = {"+": "added", "-": "removed", " ": "same"};

// A unified diff as [{kind: "hunk" | "added" | "removed" | "same", before, after, text}].
export function parseDiff(text) {
  const lines = [];
  let before = 0;
  let after = 0;
  let inside = false;
  for (const line of text.split("\n")) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      [before, after] = [Number(hunk[1]), Number(hunk[2])];
      inside = true;
      lines.push({kind: "hunk", text: line});
      continue;
    }
    const kind = SIGNS[line[0]];
    if (!inside || !kind) continue;
    lines.push({kind, text: line.slice(1), before: kind === "added" ? null : before++, after: kind === "removed" ? null : after++});
  }
  return lines;
}

export function diffLines(lines) {
  const states = {added: null, removed: null};  // long strings and comments, on either side
  return lines.map(({kind, text, before, after}) => {
    if (kind === "hunk") {
      states.added = states.removed = null;
      return h("tr", {class: "hunk"}, h("td", {colspan: 4}, text));
    }
    const side = kind === "removed" ? "removed" : "added";
    const [pieces, state] = colourLine(text, states[side]);
    states[side] = state;
    if (kind === "same") states.removed = state;
    const sign = {added: "+", removed: "−", same: ""}[kind];
    return h("tr", {class: kind}, h("td", {class: "line"}, before ?? ""), h("td", {class: "line"}, after ?? ""),
      h("td", {class: "sign", "aria-label": kind === "same" ? null : kind}, sign),
      h("td", {class: "code"}, pieces.map(([name, piece]) => (name === "plain" ? piece : h("span", {class: `lua-${name}`}, piece)))));
  });
}

const label = (item) => `${item.commit.slice(0, 7)} · ${item.event}${item.test ? ` #${item.test}` : ""} · ${time(item.time)}`;

export function diffViewer(id) {
  let history = [];
  let from = "";
  let to = "";
  const controls = h("div", {class: "controls"});
  const summary = h("p", {class: "quiet", role: "status"});
  const body = h("tbody");
  const table = h("div", {class: "diff", tabindex: 0, role: "region", "aria-label": "Differences"},
    h("table", {}, h("caption", {class: "hidden"}, "Lines before, lines after, change, text"), body));

  async function load() {
    drawControls();
    if (!from || !to) return replace(summary, "There is nothing to compare yet.");
    const wanted = `${from} ${to}`;
    const answer = await getJson(`${sessionPath(id)}/diff?from=${from}&to=${to}`);
    if (wanted !== `${from} ${to}`) return;
    const lines = parseDiff(answer.diff);
    const count = (kind) => lines.filter((line) => line.kind === kind).length;
    replace(summary, lines.length ? `${answer.path}: ${count("added")} line(s) added, ${count("removed")} removed`
      : `${answer.path} is the same in both.`);
    replace(body, diffLines(lines));
  }
  const reload = () => load().catch((error) => replace(summary, error.message));

  function drawControls() {
    const options = history.map((item) => [item.commit, label(item)]).reverse();
    replace(controls,
      select("From", options, from, (value) => { from = value; reload(); }),
      select("To", options, to, (value) => { to = value; reload(); }),
      h("button", {type: "button", onclick: () => { [from, to] = [to, from]; reload(); }}, "Swap"));
  }

  return {
    element: h("div", {}, controls, summary, table),
    // The first commit against the newest, until somebody chooses others.
    show(items) {
      const newest = history.at(-1)?.commit ?? "";
      const follows = to === newest || to === "";
      history = items;
      from ||= items[0]?.commit ?? "";
      if (follows) to = items.at(-1)?.commit ?? "";
      return reload();
    },
    compare(a, b) {
      [from, to] = [a, b];
      return reload();
    },
  };
}
