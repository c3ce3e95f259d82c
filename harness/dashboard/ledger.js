// The ledger: every finished test, sortable, filterable, as a file.
import {download as fetchFile, getText} from "./api.js";
import {badge, gather, h, replace, select} from "./dom.js";
import {makeFilter} from "./filter.js";
import {bits, loss, parseTsv, short, time, toTsv} from "./format.js";
import {Table} from "./table.js";

const TEXTS = new Set(["time", "session", "commit", "type", "agent", "task", "quantizer", "status", "flags", "device", "precision", "version",
  "submitted", "description"]);
const SHOWN = ["time", "session", "test", "type", "agent", "task", "quantizer", "status", "val_loss", "bits_per_weight", "q_zero",
  "tokens_per_s", "submitted", "description"];
const SHOWN_NARROW = ["session", "val_loss", "bits_per_weight", "status", "task", "quantizer", "agent", "description", "time"];
const WIDTHS = {val_loss: 95, time: 200, session: 165, test: 70, type: 90, task: 100, quantizer: 150, status: 130, description: 420, version: 180,
  commit: 100, tokens_per_s: 130, bits_per_weight: 155, packed_bits_per_weight: 205};

const number = (row, key) => (row[key] === "" || row[key] === undefined ? NaN : Number(row[key]));

function cell(key, row) {
  const text = row[key] ?? "";
  switch (key) {
    case "time": return time(text);
    case "session": return h("a", {href: `#/sessions/${encodeURIComponent(text)}`}, text);
    case "status": return badge(text);
    case "commit": return text.slice(0, 7);
    case "submitted": return text === "true" ? "✓ yes" : "";
    case "val_loss": case "val_bpb": return loss(number(row, key));
    case "bits_per_weight": case "packed_bits_per_weight": return bits(number(row, key));
    default: return TEXTS.has(key) ? text : Number.isNaN(number(row, key)) ? "" : short(number(row, key));
  }
}

const columnOf = (key) => ({
  key, title: key, px: WIDTHS[key] ?? 120, numeric: !TEXTS.has(key),
  value: TEXTS.has(key) ? (row) => row[key] : (row) => number(row, key),
  cell: (row) => cell(key, row),
});

export function ledgerView() {
  let all = {columns: [], rows: []};
  const initial = innerWidth < 700 ? SHOWN_NARROW : SHOWN;
  const shown = new Set(initial);
  const chosen = {task: "", type: "", status: ""};
  const table = new Table({label: "Ledger", columns: initial.map(columnOf), sort: "time", descending: true});
  const count = h("p", {class: "quiet", role: "status"});
  const filter = h("input", {type: "search", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: "words, or val_loss<2.4 task=quick",
    oninput: gather(() => draw(), 120)});
  const choices = h("div", {class: "controls"});
  const columns = h("fieldset", {}, h("legend", {class: "hidden"}, "Columns"));

  function filtered() {
    const matches = makeFilter(filter.value, all.columns);
    return all.rows.filter((row) => Object.entries(chosen).every(([key, value]) => value === "" || row[key] === value) && matches(row));
  }

  function draw() {
    const rows = filtered();
    table.setRows(rows);
    replace(count, `${rows.length.toLocaleString("en")} of ${all.rows.length.toLocaleString("en")} tests`);
  }

  function drawChoices() {
    replace(choices, h("label", {class: "field grow"}, h("span", {}, "Filter"), filter),
      Object.keys(chosen).map((key) => {
        const values = [...new Set(all.rows.map((row) => row[key]))].sort();
        return select(key, [["", "all"], ...values.map((value) => [value, value])], chosen[key], (value) => {
          chosen[key] = value;
          draw();
        });
      }),
      h("button", {type: "button", class: "main", onclick: download}, "Download TSV"),
      h("a", {href: "/v1/results.tsv", download: "results.tsv", onclick: fetchFile("/v1/results.tsv", "results.tsv")}, "All as results.tsv"));
    replace(columns, h("legend", {class: "hidden"}, "Columns"), all.columns.map((key) => {
      const box = h("input", {type: "checkbox", checked: shown.has(key), onchange: () => {
        if (box.checked) shown.add(key);
        else shown.delete(key);
        table.setColumns(all.columns.filter((name) => shown.has(name)).map(columnOf));
      }});
      return h("label", {}, box, ` ${key}`);
    }));
  }

  // The rows that are shown, in their order, with all columns.
  function download() {
    const url = URL.createObjectURL(new Blob([toTsv(all.columns, table.rows)], {type: "text/tab-separated-values"}));
    h("a", {href: url, download: "bitloop-results.tsv"}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  async function load() {
    all = parseTsv(await getText("/v1/results.tsv"));
    drawChoices();
    draw();
  }
  const later = gather(() => load().catch(() => {}), 1000);

  return {
    title: "Ledger",
    element: h("div", {class: "view wide"}, h("h1", {}, "Ledger"),
      h("section", {class: "card", "aria-label": "Finished tests"}, choices,
        h("details", {}, h("summary", {}, "Columns"), columns), count, table.element)),
    load,
    onEvent: (kind) => { if (kind === "test-finished" || kind === "submission") later(); },
    close: () => later.cancel(),
  };
}
