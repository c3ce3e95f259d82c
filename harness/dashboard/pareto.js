// val_loss against bits_per_weight: what sessions reached, the measured baselines, and the front that nothing beats in both.
import {colour, grey, Plot} from "./charts.js";
import {h, replace} from "./dom.js";
import {bits, loss} from "./format.js";

// The points that no other is better than in one and no worse than in the other, from few bits to many.
export function front(points) {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const kept = [];
  for (const point of sorted) if (kept.length === 0 || point.y < kept[kept.length - 1].y) kept.push(point);
  return kept;
}

// Whole halves of a bit around the values.
function halves(values) {
  if (!values.length) return {};
  return {min: Math.floor(Math.min(...values) * 2 - 0.2) / 2, max: Math.ceil(Math.max(...values) * 2 + 0.2) / 2};
}

const SHAPE = ["rectRot", "circle", "triangle"];

const number = (text) => (text === "" || text === null || text === undefined ? NaN : Number(text));

export function paretoPlot({onOpen}) {
  let groups = [];
  let edge = [];
  let float = null;  // without quantisation: at 32 bits it would press the rest together
  const plot = new Plot({
    label: "Loss against bits", type: "scatter", x: "bits per weight", y: "val_loss", datasets,
    xAxis: () => halves(groups.flatMap(({points}) => points.map((point) => point.x))), yAxis: () => ({grace: "4%"}),
    onClick: (point) => point?.session && onOpen(point.session),
    tooltip: {label: (item) => `${item.raw.label}: val_loss ${loss(item.raw.y)}, ${bits(item.raw.x)} bits`},
  });
  const list = h("div", {});
  const element = h("div", {}, plot.element, h("details", {}, h("summary", {}, "The front as a table"), list));

  function datasets() {
    const style = [[2, 4], [0, 5], [1, 7]];  // baselines, tests, submitted: colour and size
    const sets = groups.map(({name, points}, i) => ({
      label: name, data: points, pointStyle: SHAPE[i], pointRadius: style[i][1], pointHoverRadius: style[i][1] + 2,
      backgroundColor: i === 0 ? "transparent" : colour(style[i][0]), borderColor: colour(style[i][0]), borderWidth: 2,
    }));
    sets.push({label: "front", data: edge, type: "line", stepped: "before", pointRadius: 0, pointHitRadius: 0, borderColor: grey(),
      borderWidth: 1.5, borderDash: [5, 4], pointStyle: "line"});
    if (float) {
      const ends = [Math.min(...edge.map((point) => point.x)), Math.max(...groups.flatMap(({points}) => points.map((point) => point.x)))];
      sets.push({label: "float (32 bits)", data: ends.map((x) => ({x, y: float.val_loss, label: "float"})), type: "line", pointRadius: 0,
        pointHitRadius: 0, borderColor: colour(4), borderWidth: 1.5, borderDash: [2, 3], pointStyle: "line"});
    }
    return sets;
  }

  return {
    element,
    // A task's document, and its rows of the ledger as texts.
    show(task, rows) {
      const tests = [];
      const submitted = [];
      for (const row of rows) {
        if (row.status !== "ok") continue;
        const point = {x: number(row.bits_per_weight), y: number(row.val_loss), session: row.session, label: `${row.session} #${row.test}`};
        if (Number.isFinite(point.x) && Number.isFinite(point.y)) (row.submitted === "true" ? submitted : tests).push(point);
      }
      const baselines = task.baselines
        .map((one) => ({x: one.bits_per_weight, y: one.val_loss, label: one.name}))
        .filter((one) => Number.isFinite(one.x) && Number.isFinite(one.y) && one.x < 32);
      float = task.baselines.find((one) => one.name === "float" && Number.isFinite(one.val_loss)) ?? null;
      groups = [{name: "baselines", points: baselines}, {name: "tests", points: tests}, {name: "submitted", points: submitted}];
      edge = front([...baselines, ...tests, ...submitted]);
      plot.describe(`Loss against bits of ${task.name}: ${baselines.length} baselines, ${tests.length} tests, ` +
        `${submitted.length} submitted; ${edge.length} on the front, which the table below lists`);
      replace(list, h("table", {class: "plain"},
        h("thead", {}, h("tr", {}, ["bits per weight", "val_loss", "what"].map((title) => h("th", {scope: "col"}, title)))),
        h("tbody", {}, edge.map((point) => h("tr", {}, h("td", {class: "number"}, bits(point.x)), h("td", {class: "number"}, loss(point.y)),
          h("td", {}, point.session ? h("a", {href: `#/sessions/${point.session}`}, point.label) : point.label))))));
      plot.draw();
    },
    close: () => plot.close(),
  };
}
