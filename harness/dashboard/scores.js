// A session's scores over its tests: each test, the best so far, and around it the band that is noise.
import {colour, grey, Plot, shape, veil} from "./charts.js";
import {h, replace} from "./dom.js";
import {loss} from "./format.js";

const BAND_SD = 2;

// Where the best so far stands after each test: [{x, y}].
export function bestSoFar(points) {
  let least = Infinity;
  return points.map(({x, y}) => ({x, y: (least = Math.min(least, y))}));
}

export function scorePlot() {
  let points = [];
  let failed = [];
  let noise = null;
  let references = [];
  let top = 0;
  const words = h("p", {class: "quiet"});
  const lastTest = () => Math.max(1, ...points.map((point) => point.x), ...failed);
  function testTicks() {
    const stride = Math.ceil(lastTest() / 12);
    return Array.from({length: Math.floor(lastTest() / stride)}, (_, i) => ({value: (i + 1) * stride}));
  }
  const plot = new Plot({
    label: "Scores over tests", x: "test", y: "val_loss", datasets,
    xAxis: () => ({min: 0.5, max: lastTest() + 0.5, afterBuildTicks: (scale) => { scale.ticks = testTicks(); }, ticks: {callback: String}}),
    yAxis: () => ({grace: "10%"}),
    tooltip: {
      title: (items) => (items[0] ? `test #${items[0].raw.x}` : ""),
      label: (item) => `${item.dataset.label}: ${loss(item.raw.y)}`,
    },
  });

  function datasets() {
    const best = bestSoFar(points);
    const ends = [0.5, lastTest() + 0.5];
    const widened = best.length ? [{x: best[0].x - 0.5, y: best[0].y}, ...best, {x: ends[1], y: best[best.length - 1].y}] : [];
    const line = {pointRadius: 0, pointHitRadius: 0, borderWidth: 1.5};
    const sets = [];
    if (noise)
      for (const sign of [-1, 1])
        sets.push({...line, label: `noise (±${BAND_SD} sd)`, hideLabel: sign < 0, stepped: "before", borderWidth: 0, borderColor: "transparent",
          backgroundColor: veil(0), fill: sign > 0 ? "-1" : false, pointStyle: "rect",
          data: widened.map(({x, y}) => ({x, y: y + sign * BAND_SD * noise}))});
    sets.push({...line, label: "best so far", stepped: "before", borderColor: colour(0), backgroundColor: colour(0), pointStyle: "line", data: widened});
    references.forEach(({name, val_loss}, i) =>
      sets.push({...line, label: name, borderColor: i ? colour(2) : grey(), borderDash: i ? [2, 3] : [7, 4], pointStyle: "line",
        data: ends.map((x) => ({x, y: val_loss}))}));
    sets.push({label: "test", showLine: false, pointRadius: 6, pointHoverRadius: 8, pointStyle: shape(0), borderColor: colour(1),
      backgroundColor: colour(1), data: points});
    if (failed.length)
      sets.push({label: "without a score", showLine: false, pointRadius: 6, pointStyle: "crossRot", borderColor: grey(), borderWidth: 2,
        data: failed.map((x) => ({x, y: top}))});
    return sets;
  }

  return {
    element: h("div", {}, plot.element, words),
    show(session, task) {
      noise = task?.noise_floor ?? null;  // a standard deviation
      points = [];
      failed = [];
      for (const test of session.tests) {
        if (test.status === "ok" && Number.isFinite(test.metrics?.val_loss)) points.push({x: test.test, y: test.metrics.val_loss});
        else if (test.status !== "running") failed.push(test.test);
      }
      references = ["ternary", "float"].map((name) => task?.baselines.find((one) => one.name === name))
        .filter((one) => one && Number.isFinite(one.val_loss)).map(({name, val_loss}) => ({name: `${name} (baseline)`, val_loss}));
      top = Math.max(...points.map((point) => point.y), ...references.map((one) => one.val_loss), 0);
      const best = points.length ? Math.min(...points.map((point) => point.y)) : NaN;
      plot.describe(`Scores over tests: ${points.map(({x, y}) => `test ${x} ${loss(y)}`).join(", ") || "none yet"}`);
      replace(words, points.length ? `Best: ${loss(best)}. ` : "No test has ended with a score yet. ",
        noise ? `Runs that differ in their seed alone differ by a standard deviation of ${loss(noise)}: what lies inside the band is no improvement.`
          : "The noise of this task was not measured, so small differences may mean nothing.");
      plot.draw();
    },
    close: () => plot.close(),
  };
}
