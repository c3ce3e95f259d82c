// The page: a view for each address after '#', and the events that keep it up to date.
import {download, forgetToken, setToken} from "./api.js";
import {h, replace} from "./dom.js";
import {ledgerView} from "./ledger.js";
import {Live} from "./live.js";
import {overviewView} from "./overview.js";
import {sessionView} from "./session.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
let view = null;  // {element, title, load(), onEvent(kind, data), close()}

// What a part of the address says; "" when it is no text.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

function route() {
  const [name, part] = location.hash.replace(/^#\/?/, "").split("/");
  const id = decoded(part ?? "");
  if (name === "ledger") return ["ledger", ledgerView()];
  if (name === "sessions" && id) return ["session", sessionView(id)];
  return ["overview", overviewView()];
}

// A server that has tokens wants to know who looks.
function askForToken(why) {
  const field = h("input", {type: "password", name: "token", autocomplete: "off", required: true, size: 40});
  const enter = (event) => {
    event.preventDefault();
    setToken(field.value.trim());
    show(true);
    live.again();
  };
  view.close();
  replace(main, h("form", {class: "card", onsubmit: enter},
    h("h1", {}, "A token, please"),
    h("p", {class: why.code === "token_unknown" ? "notice" : "quiet", role: "alert"}, why.code === "token_unknown"
      ? "This token is not one of the server's." : "This server lets in who has a token. It is kept until this tab is closed."),
    h("label", {class: "field"}, h("span", {}, "Token"), field), " ",
    h("button", {type: "submit", class: "main"}, "Enter")));
  field.focus();
}

async function load() {
  const loaded = view;
  try {
    await loaded.load();
    main.querySelector(".failure")?.remove();
  } catch (error) {
    if (loaded !== view) return;
    main.querySelector(".failure")?.remove();
    if (error.status === 401) {
      forgetToken();
      return askForToken(error);
    }
    main.prepend(h("p", {class: "notice failure", role: "alert"}, error.message));
    if (!error.status && !error.code) throw error;  // a mistake of this page's own: seen in the console
  }
}

function show(isFirst = false) {
  if (!isFirst && !/^#(\/|$)/.test(location.hash)) return;  // #main: a place on the page
  view?.close();
  const [name, shown] = route();
  view = shown;
  document.title = `${view.title} · bitloop`;
  for (const link of document.querySelectorAll("nav a[data-view]"))
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  replace(main, view.element);
  if (!window.Chart)
    main.prepend(h("p", {class: "notice", role: "alert"},
      "The plots are missing: the server has no Chart.js. Install the Debian package libjs-chart.js and build again."));
  if (!isFirst) {
    main.focus({preventScroll: true});
    window.scrollTo(0, 0);
  }
  return load();
}

window.addEventListener("hashchange", () => show());
document.querySelector('a[href="/openapi.json"]').addEventListener("click", download("/openapi.json", "openapi.json"));
show(true);
const live = new Live({
  onEvent: (kind, data) => view.onEvent(kind, data),
  onGap: load,
  onState: (state) => {
    connection.dataset.state = state;
    connection.textContent = state;
  },
});
