// Numbers, times and tables as text.

export const MISSING = "–";

export function loss(value) {
  return Number.isFinite(value) ? value.toFixed(4) : MISSING;
}

export function bits(value) {
  return Number.isFinite(value) ? value.toFixed(3) : MISSING;
}

// A number of the ledger in few digits: 842,496 · 24,993.9 · 0.2964
export function short(value) {
  if (!Number.isFinite(value)) return MISSING;
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? value.toLocaleString("en", {maximumFractionDigits: 1}) : String(+value.toPrecision(5));
}

// Of seconds since 1970, or of an ISO text.
export function time(value) {
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  if (Number.isNaN(date.getTime())) return MISSING;
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export const minute = (value) => time(value).slice(0, 16);

// results.tsv or log.tsv: {columns, rows}, each row an object of texts.
export function parseTsv(text) {
  const [header, ...lines] = text.split("\n").filter((line) => line !== "");
  const columns = (header ?? "").split("\t");
  const rows = lines.map((line) => {
    const row = {};
    line.split("\t").forEach((field, i) => { row[columns[i]] = field; });
    return row;
  });
  return {columns, rows};
}

export function toTsv(columns, rows) {
  const line = (row) => columns.map((name) => row[name] ?? "").join("\t");
  return [columns.join("\t"), ...rows.map(line)].join("\n") + "\n";
}
