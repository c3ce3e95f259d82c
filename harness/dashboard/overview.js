// The first view: all sessions and their state, and what was reached at how many bits.
import {getJson, getTasks, getText, sessionPath} from "./api.js";
import {badge, gather, h, replace, section, select} from "./dom.js";
import {loss, minute, parseTsv} from "./format.js";
import {paretoPlot} from "./pareto.js";
import {Table} from "./table.js";

const best = (session) => session.tests.reduce((least, test) => {
  const value = test.status === "ok" ? test.metrics?.val_loss : null;
  return Number.isFinite(value) && !(value >= least) ? value : least;
}, NaN);

const column = (key, title, px, value, cell = value, numeric = false) => ({key, title, px, value, cell, numeric});

const COLUMNS = [
  column("id", "Session", 180, (s) => s.id, (s) => h("a", {href: `#/sessions/${s.id}`}, s.id)),
  column("state", "State", 105, (s) => s.state, (s) => badge(s.state)),
  column("now", "Now", 185, (s) => s.now ?? "", (s) => s.now ?? ""),
  column("task", "Task", 95, (s) => s.task),
  column("quantizer", "From", 120, (s) => s.quantizer),
  column("agent", "Agent", 125, (s) => s.agent),
  column("tests", "Tests", 75, (s) => s.tests.length, (s) => (s.tests_total ? `${s.tests.length} of ${s.tests_total}` : s.tests.length), true),
  column("best", "Best val_loss", 130, best, (s) => loss(best(s)), true),
  column("submitted", "Submitted", 112, (s) => s.submitted, (s) => (s.submitted === null ? "" : `#${s.submitted}`), true),
  column("created", "Created", 150, (s) => s.created, (s) => minute(s.created)),
];

const GENERAL = [["sessions", "sessions"], ["testing", "testing now"], ["tests", "tests"], ["submitted", "submitted"]];

export function overviewView() {
  let sessions = [];
  const now = new Map();  // what a running test said last, by session
  const table = new Table({label: "Sessions", columns: COLUMNS, sort: "created", descending: true,
    onOpen: (session) => { location.hash = `#/sessions/${session.id}`; }});
  table.element.classList.add("low");
  const facts = h("dl", {class: "facts"});
  const pareto = paretoPlot({onOpen: (session) => { location.hash = `#/sessions/${session}`; }});
  const taskChoice = h("div", {class: "controls"});
  let task = null;

  function drawFacts() {
    const count = {
      sessions: sessions.length,
      testing: sessions.filter((session) => session.state === "testing").length,
      tests: sessions.reduce((sum, session) => sum + session.tests.length, 0),
      submitted: sessions.filter((session) => session.submitted !== null).length,
    };
    replace(facts, GENERAL.map(([key, title]) => h("div", {}, h("dt", {}, title), h("dd", {}, count[key].toLocaleString("en")))));
  }

  function drawPareto(tasks, rows) {
    const busy = (name) => rows.filter((row) => row.task === name).length;
    const names = [...tasks.keys()].sort((a, b) => busy(b) - busy(a));
    task ??= names[0];
    replace(taskChoice, select("Task", names.map((name) => [name, name]), task, (name) => {
      task = name;
      drawPareto(tasks, rows);
    }));
    pareto.show(tasks.get(task), rows.filter((row) => row.task === task));
  }

  function showSessions() {
    for (const session of sessions) session.now = session.state === "testing" ? now.get(session.id) ?? "waiting" : "";
    drawFacts();
    table.setRows(sessions);
  }
  let listed = Promise.resolve();  // the newest list that was asked for
  async function loadSessions() {
    listed = getJson("/v1/sessions");
    sessions = (await listed).sessions;
    showSessions();
  }
  // Of those that events named, and of no other: there may be thousands.
  const changed = new Set();
  async function loadChanged() {
    await listed.catch(() => {});  // else an older list would take the place of what comes now
    const ids = [...changed];
    changed.clear();
    const news = await Promise.all(ids.map((id) => getJson(sessionPath(id)).catch(() => null)));
    for (const session of news.filter(Boolean)) {
      const known = sessions.findIndex((one) => one.id === session.id);
      if (known < 0) sessions.push(session);
      else sessions[known] = session;
    }
    showSessions();
  }
  async function loadResults() {
    const [tasks, text] = await Promise.all([getTasks(), getText("/v1/results.tsv")]);
    drawPareto(tasks, parseTsv(text).rows);
  }
  const later = gather(loadChanged);
  const resultsLater = gather(() => loadResults().catch(() => {}), 1000);

  return {
    title: "Sessions",
    element: h("div", {class: "view"},
      h("h1", {}, "Sessions"), facts,
      h("section", {class: "card", "aria-label": "Table of sessions"}, table.element),
      section("Loss against bits", taskChoice, pareto.element)),
    load: () => Promise.all([loadSessions(), loadResults()]),
    onEvent(kind, data) {
      if (kind === "step" || kind === "val") {
        now.set(data.session, `test #${data.test} · step ${data.step}` + (kind === "val" ? ` · val ${loss(data.val_loss)}` : ` · ${loss(data.train_loss)}`));
        const session = sessions.find((one) => one.id === data.session);
        if (!session) return;
        session.now = now.get(data.session);
        table.draw(true);
        return;
      }
      if (kind === "test-finished") now.delete(data.session);
      changed.add(data.session);
      later();
      if (kind === "test-finished" || kind === "submission") resultsLater();
    },
    close() {
      later.cancel();
      resultsLater.cancel();
      pareto.close();
    },
  };
}
