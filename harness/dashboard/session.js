// One session: its state, its curves and scores, its story, what changed, what its runs wrote.
import {getJson, getTasks, sessionPath} from "./api.js";
import {curvePlot} from "./curves.js";
import {diffViewer} from "./diff.js";
import {append, badge, gather, h, replace, section} from "./dom.js";
import {MISSING, bits, loss, short, time} from "./format.js";
import {logViewer} from "./logs.js";
import {scorePlot} from "./scores.js";

const fact = (title, ...value) => h("div", {}, h("dt", {}, title), h("dd", {}, value));

const VERDICTS = {first: "first score", inside_noise: "inside the noise", trade_off: "trade-off"};

// A decision in a few words, and what it advises.
function decision(of) {
  if (!of) return h("td", {}, MISSING);
  const than = of.against ? ` (#${of.against.test})` : "";
  return h("td", {}, h("span", {class: "verdict"}, (VERDICTS[of.verdict] ?? of.verdict) + than),
    h("span", {class: "advice"}, of.advice));
}

const tagWords = (tags) => tags.map(({tag}) => tag).join(", ") || MISSING;

function testTable({tests, tags}) {
  const titles = ["test", "status", "val_loss", "bits", "decision", "tags", "tokens/s", "seed", "commit"];
  return h("table", {class: "plain"}, h("thead", {}, h("tr", {}, titles.map((title) => h("th", {scope: "col"}, title)))),
    h("tbody", {}, tests.map((test) => h("tr", {}, h("td", {}, `#${test.test}`), h("td", {}, badge(test.status)),
      h("td", {class: "number"}, loss(test.metrics?.val_loss)), h("td", {class: "number"}, bits(test.metrics?.bits_per_weight)),
      decision(test.decision), h("td", {}, tagWords(tags.filter((tag) => tag.test === test.test))),
      h("td", {class: "number"}, short(test.metrics?.tokens_per_s)), h("td", {class: "number"}, test.seed),
      h("td", {}, h("code", {}, test.commit.slice(0, 7)))))));
}

export function sessionView(id) {
  const state = h("span", {});
  const facts = h("dl", {class: "facts"});
  const tests = h("div", {class: "scroll"});
  const story = h("ol", {class: "story"});
  const curves = curvePlot(id);
  const scores = scorePlot();
  const diff = diffViewer(id);
  const logs = logViewer(id);
  const diffSection = section("What changed", diff.element);

  function drawStory(history) {
    replace(story, history.map((item, i) => h("li", {dataset: {event: item.event}},
      h("span", {class: "when"}, time(item.time)), h("span", {class: "what"}, item.message),
      i > 0 && ["edit", "undo", "revert"].includes(item.event) ? h("button", {type: "button", class: "small",
        "aria-label": `Show what ${item.commit.slice(0, 7)} changed`,
        onclick: () => {
          diff.compare(history[i - 1].commit, item.commit);
          diffSection.scrollIntoView({block: "start"});
        }}, item.commit.slice(0, 7)) : h("code", {}, item.commit.slice(0, 7)))).reverse());
  }

  async function load() {
    const [session, tasks] = await Promise.all([getJson(sessionPath(id)), getTasks()]);
    replace(state, badge(session.state));
    replace(facts, fact("task", session.task), fact("from", session.forked_from || session.quantizer),
      fact("agent", session.agent || MISSING),
      fact("tests left", session.tests_total ? `${session.tests_left} of ${session.tests_total}` : "no limit"),
      fact("best", session.best === null ? MISSING : `#${session.best}`),
      fact("submitted", session.submitted === null ? MISSING : `#${session.submitted}`),
      fact("tags", tagWords(session.tags.filter((tag) => tag.test === null))), fact("created", time(session.created)));
    replace(tests, session.tests.length ? testTable(session) : h("p", {class: "quiet"}, "No test was started yet."));
    drawStory(session.history);
    scores.show(session, tasks.get(session.task));
    await Promise.all([curves.show(session), diff.show(session.history), logs.show(session)]);
  }
  const later = gather(() => load().catch(() => {}));

  return {
    title: id,
    element: append(h("div", {class: "view"}), [
      h("h1", {}, id, " ", state), facts,
      h("div", {class: "pair"}, section("Loss curve", curves.element), section("Score over tests", scores.element)),
      section("Tests", tests), diffSection,
      h("div", {class: "pair"}, section("Story", story), section("Run logs", logs.element))]),
    load,
    onEvent(kind, data) {
      if (data.session !== id) return;
      if (kind === "step" || kind === "val") curves.onRecord(kind, data);
      else later();
    },
    close() {
      later.cancel();
      curves.close();
      scores.close();
    },
  };
}
