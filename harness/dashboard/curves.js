// The loss curves of a session's tests, which grow while a test runs.
import {getText, sessionPath} from "./api.js";
import {colour, dash, Plot, shape} from "./charts.js";
import {h, replace} from "./dom.js";
import {loss} from "./format.js";

const MOST_CURVES = 6;  // of the newest tests: more can't be told apart
const MOST_POINTS = 2000;

// A test's points by step, from its records and from live events alike.
export class Curve {
  constructor(test) {
    this.test = test;
    this.train = new Map();
    this.val = new Map();
  }

  add(kind, {step, train_loss, val_loss}) {
    if (!Number.isFinite(step)) return;
    if (kind === "step" && Number.isFinite(train_loss)) this.train.set(step, train_loss);
    if (kind === "val" && Number.isFinite(val_loss)) this.val.set(step, val_loss);
  }

  addRecords(text) {
    for (const line of text.split("\n")) {
      if (!line.includes('"step"') && !line.includes('"val"')) continue;
      try {
        const record = JSON.parse(line);
        this.add(record.type, record);
      } catch { /* a line that is still being written */ }
    }
  }

  points(which) {
    const points = [...this[which]].map(([x, y]) => ({x, y})).sort((a, b) => a.x - b.x);
    const every = Math.ceil(points.length / MOST_POINTS);
    return every > 1 ? points.filter((_, i) => i % every === 0 || i === points.length - 1) : points;
  }
}

export function curvePlot(id) {
  const curves = new Map();
  const ended = new Set();  // whose records are complete
  const words = h("p", {class: "quiet", "aria-live": "off"});
  const plot = new Plot({label: "Loss curves", x: "step", y: "loss", datasets,
    tooltip: {title: (items) => (items[0] ? `step ${items[0].raw.x}` : ""), label: (item) => `${item.dataset.label}: ${loss(item.raw.y)}`}});

  function datasets() {
    const sets = [];
    for (const [number, curve] of [...curves].sort((a, b) => a[0] - b[0])) {
      const i = number - 1;
      const line = {borderColor: colour(i), backgroundColor: colour(i), borderWidth: 2};
      const val = curve.points("val");
      sets.push({...line, label: `#${number} train`, data: curve.points("train"), borderDash: dash(i), pointRadius: 0, pointHitRadius: 6, pointStyle: "line"});
      if (val.length) sets.push({...line, label: `#${number} val`, data: val, pointStyle: shape(i), pointRadius: 4, borderWidth: 1});
    }
    return sets;
  }

  function draw() {
    const parts = [...curves.values()].sort((a, b) => a.test - b.test).map((curve) => {
      const last = curve.points("train").at(-1);
      return last ? `test #${curve.test}: step ${last.x}, train_loss ${loss(last.y)}` : `test #${curve.test}: no step yet`;
    });
    plot.describe(`Loss curves. ${parts.join("; ") || "No test yet"}`);
    replace(words, parts.length ? `${parts.join(" · ")}` : "No test was started yet.");
    words.dataset.points = [...curves.values()].reduce((sum, curve) => sum + curve.train.size + curve.val.size, 0);
    plot.draw();
  }

  return {
    element: h("div", {}, plot.element, words),
    async show(session) {
      const tests = session.tests.slice(-MOST_CURVES);
      for (const number of [...curves.keys()]) if (!tests.some((test) => test.test === number)) curves.delete(number);
      draw();
      await Promise.all(tests.map(async (test) => {
        const curve = curves.get(test.test) ?? new Curve(test.test);
        curves.set(test.test, curve);
        if (ended.has(test.test)) return;
        curve.addRecords(await getText(`${sessionPath(id)}/tests/${test.test}/events.jsonl`));
        if (test.status !== "running") ended.add(test.test);
      }));
      draw();
    },
    onRecord(kind, data) {
      if (!curves.has(data.test)) curves.set(data.test, new Curve(data.test));
      curves.get(data.test).add(kind, data);
      draw();
    },
    close: () => plot.close(),
  };
}
