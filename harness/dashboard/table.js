// A sortable table that draws only the rows that are seen, so ten thousand of them cost as much as thirty.
import {h, replace} from "./dom.js";

const ROW_PX = 34;
const SPARE_ROWS = 8;  // drawn above and below what is seen

// Missing values come last in both directions; numbers before texts.
export function compare(a, b, descending) {
  const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
  return descending ? -order : order;
}

export class Table {
  // columns: [{key, title, hint, px, numeric, value(row), cell(row)}]; onOpen(row): Enter or a click on a row.
  constructor({label, columns, sort, descending = false, onOpen = null}) {
    Object.assign(this, {label, onOpen, sortKey: sort, descending, all: [], rows: [], active: 0});
    this.head = h("thead");
    this.body = h("tbody");
    this.cols = h("colgroup");
    this.table = h("table", {"aria-label": label, role: "grid"}, this.cols, this.head, this.body);
    this.element = h("div", {class: "table", onscroll: () => this.draw(), onkeydown: (event) => this.onKey(event)}, this.table);
    new ResizeObserver(() => this.draw(true)).observe(this.element);
    this.setColumns(columns);
  }

  setColumns(columns) {
    this.columns = columns;
    replace(this.cols, columns.map((column) => {
      const col = h("col");
      col.style.width = `${column.px ?? 110}px`;
      return col;
    }));
    this.table.style.width = `${columns.reduce((sum, column) => sum + (column.px ?? 110), 0)}px`;
    this.sort();
  }

  setRows(rows) {
    this.all = rows;
    this.sort();
  }

  drawHead() {
    replace(this.head, h("tr", {"aria-rowindex": 1}, this.columns.map((column) => {
      const isSorted = column.key === this.sortKey;
      const direction = isSorted ? (this.descending ? "descending" : "ascending") : "none";
      return h("th", {scope: "col", "aria-sort": direction, class: column.numeric ? "number" : ""},
        h("button", {type: "button", title: column.hint, dataset: {column: column.key}, onclick: () => this.sortBy(column.key)},
          column.title, h("span", {class: "arrow", "aria-hidden": "true"}, isSorted ? (this.descending ? "▼" : "▲") : "")));
    })));
  }

  sortBy(key) {
    this.descending = this.sortKey === key ? !this.descending : false;
    this.sortKey = key;
    this.sort();
    this.head.querySelector(`[data-column="${CSS.escape(key)}"]`)?.focus();
  }

  sort() {
    const column = this.columns.find((one) => one.key === this.sortKey);
    const keyed = this.all.map((row) => [column ? column.value(row) : null, row]);
    if (column) keyed.sort((a, b) => compare(a[0], b[0], this.descending));
    this.rows = keyed.map(([, row]) => row);
    this.active = Math.max(0, Math.min(this.active, this.rows.length - 1));
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    this.drawHead();
    this.draw(true);
  }

  // Draws the rows in sight, unless they are drawn already.
  draw(again = false) {
    const seen = Math.ceil((this.element.clientHeight || 600) / ROW_PX);
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(this.rows.length, first + seen + 2 * SPARE_ROWS);
    if (!again && first === this.first && last === this.last) return;
    const hadFocus = this.body.contains(document.activeElement);
    Object.assign(this, {first, last});
    const rows = [];
    for (let i = first; i < last; ++i) rows.push(this.row(i));
    replace(this.body, this.spacer(first), rows, this.spacer(this.rows.length - last));
    if (this.rows.length === 0)
      replace(this.body, h("tr", {class: "empty"}, h("td", {colspan: this.columns.length}, "Nothing here.")));
    if (hadFocus) this.rowElement(this.active)?.focus({preventScroll: true});
  }

  spacer(count) {
    if (count <= 0) return null;
    const cell = h("td", {colspan: this.columns.length});
    cell.style.height = `${count * ROW_PX}px`;
    return h("tr", {class: "spacer", "aria-hidden": "true"}, cell);
  }

  row(i) {
    const row = this.rows[i];
    return h("tr", {"aria-rowindex": i + 2, tabindex: i === this.active ? 0 : -1, dataset: {row: i},
      onclick: (event) => this.open(event, row), onfocus: () => { this.active = i; }},
    this.columns.map((column) => {
      const content = column.cell(row);
      const text = content instanceof Node ? null : content;
      return h("td", {class: column.numeric ? "number" : "", title: text && text.length > 12 ? text : null}, content);
    }));
  }

  open(event, row) {
    if (this.onOpen && !event.target.closest("a, button")) this.onOpen(row);
  }

  rowElement(i) {
    return this.body.querySelector(`[data-row="${i}"]`);
  }

  onKey(event) {
    if (!event.target.closest("tbody")) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 2);
    const moves = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity};
    if (event.key === "Enter" && this.onOpen && event.target.matches("tr")) return this.onOpen(this.rows[this.active]);
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.active = Math.max(0, Math.min(this.rows.length - 1, this.active + moves[event.key]));
    // Into sight, under the heading that stays.
    const top = this.active * ROW_PX;
    const height = this.element.clientHeight - this.head.offsetHeight - ROW_PX;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    if (top > this.element.scrollTop + height) this.element.scrollTop = top - height;
    this.draw(true);
    for (const row of this.body.querySelectorAll("[data-row]")) row.tabIndex = Number(row.dataset.row) === this.active ? 0 : -1;
    this.rowElement(this.active)?.focus({preventScroll: true});
  }
}
