// Plots: one look for all, in the colours of Okabe and Ito, which people with any colour vision can tell apart; each series
// also has a shape or a dash of its own.

const dark = matchMedia("(prefers-color-scheme: dark)");
// blue, orange, green, vermillion, purple, sky; in the dark the lighter ones come first.
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"];
const DARK = ["#56B4E9", "#E69F00", "#29C799", "#F0E442", "#E19CC4", "#F08A4B"];
const SHAPES = ["circle", "triangle", "rect", "rectRot", "star", "cross"];
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4]];

export const colour = (i) => (dark.matches ? DARK : LIGHT)[i % 6];
export const shape = (i) => SHAPES[i % SHAPES.length];
export const dash = (i) => DASHES[i % DASHES.length];
const ink = () => (dark.matches ? "#e6e9ee" : "#1d232b");
const faint = () => (dark.matches ? "#39424e" : "#dfe4ea");
export const grey = () => (dark.matches ? "#9aa5b1" : "#6b7683");

// The colour of a band: see-through.
export const veil = (i) => colour(i) + (dark.matches ? "40" : "26");

function axis(title, extra) {
  return {
    type: "linear",
    title: {display: true, text: title, color: ink()},
    grid: {color: faint(), borderColor: faint()},
    ...extra,
    ticks: {color: ink(), maxTicksLimit: 8, ...extra.ticks},
  };
}

// A plot on a canvas; datasets() is asked again by draw(), also when the page turns dark. Without Chart.js nothing happens.
export class Plot {
  constructor({label, type = "line", x, y, datasets, tooltip, onClick, xAxis = () => ({}), yAxis = () => ({}), legend = {}}) {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.element = document.createElement("div");
    this.element.className = "plot";
    this.element.append(this.canvas);
    this.datasets = datasets;
    this.options = () => ({
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: {mode: "nearest", intersect: false, axis: "xy"},
      onClick: (event, hits) => hits.length && onClick?.(this.chart.data.datasets[hits[0].datasetIndex].data[hits[0].index]),
      scales: {x: axis(x, xAxis()), y: axis(y, yAxis())},
      plugins: {
        legend: {labels: {color: ink(), usePointStyle: true, boxHeight: 7, filter: (item, data) => !data.datasets[item.datasetIndex].hideLabel}, ...legend},
        tooltip: {callbacks: tooltip, filter: (item) => !item.dataset.hideLabel},
      },
    });
    this.onTheme = () => this.draw();
    dark.addEventListener("change", this.onTheme);
    if (window.Chart) this.chart = new window.Chart(this.canvas, {type, data: {datasets: []}, options: this.options()});
  }

  draw() {
    if (!this.chart) return;
    this.chart.options = this.options();
    this.chart.data.datasets = this.datasets();
    this.chart.update("none");
  }

  // What it shows, in words.
  describe(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  close() {
    dark.removeEventListener("change", this.onTheme);
    this.chart?.destroy();
  }
}
