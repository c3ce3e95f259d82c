// A test's message, its log and its records, as they are.
import {download, getText, sessionPath} from "./api.js";
import {h, replace, select} from "./dom.js";
import {parseTsv} from "./format.js";

const MOST_LINES = 1000;  // the newest; the whole file is a link away
const KINDS = [["message", "Message"], ["log.tsv", "log.tsv"], ["events.jsonl", "events.jsonl"]];

function tail(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  return lines.length > MOST_LINES ? [`… ${lines.length - MOST_LINES} earlier lines …`, ...lines.slice(-MOST_LINES)].join("\n") : lines.join("\n");
}

function logTable(text) {
  const {columns, rows} = parseTsv(text);
  if (!rows.length) return h("p", {class: "quiet"}, "Nothing was logged yet.");
  return h("table", {class: "plain"}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", {scope: "col"}, name)))),
    h("tbody", {}, rows.slice(-MOST_LINES).map((row) => h("tr", {}, columns.map((name) => h("td", {class: "number"}, row[name] ?? ""))))));
}

export function logViewer(id) {
  let tests = [];
  let chosen = null;  // nothing: the newest
  let kind = "message";
  const controls = h("div", {class: "controls"});
  const text = h("div", {class: "log", tabindex: 0, role: "region", "aria-label": "Log"});

  async function load() {
    const number = chosen ?? tests.at(-1)?.test;
    const test = tests.find((one) => one.test === number);
    const path = `${sessionPath(id)}/tests/${number}/${kind}`;
    replace(controls,
      select("Test", tests.map((one) => [String(one.test), `#${one.test} · ${one.status}`]), String(number), (value) => { chosen = Number(value); reload(); }),
      h("div", {class: "buttons", role: "group", "aria-label": "What to show"}, KINDS.map(([key, title]) =>
        h("button", {type: "button", "aria-pressed": String(key === kind), onclick: () => { kind = key; reload(); }}, title))),
      kind === "message" || !test ? null : h("a", {href: path, download: `${id}-${number}-${kind}`, onclick: download(path, `${id}-${number}-${kind}`)}, "Download"));
    if (!test) return replace(text, h("p", {class: "quiet"}, "No test was started yet."));
    if (kind === "message") return replace(text, h("pre", {}, test.message));
    const wanted = path;
    const content = await getText(path);
    if (wanted !== `${sessionPath(id)}/tests/${chosen ?? tests.at(-1)?.test}/${kind}`) return;
    replace(text, kind === "log.tsv" ? logTable(content) : h("pre", {}, tail(content) || "Nothing was recorded yet."));
  }
  const reload = () => load().catch((error) => replace(text, h("p", {class: "notice"}, error.message)));

  return {
    element: h("div", {}, controls, text),
    show(session) {
      tests = session.tests;
      return reload();
    },
  };
}
