// Elements from text alone: whatever an agent wrote reaches the page through text nodes and properties, never as HTML.

// h("a", {href: "#/", class: "x", onclick: f, dataset: {id: 1}}, "text", child, null, [more])
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : String(child));
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

// Calls `action` once, `wait` ms after the first of many requests.
export function gather(action, wait = 250) {
  let timer = null;
  const request = () => {
    timer ??= setTimeout(() => {
      timer = null;
      action();
    }, wait);
  };
  request.cancel = () => clearTimeout(timer);
  return request;
}

// A section with a heading that names it.
let sections = 0;
export function section(title, ...children) {
  const id = `section-${++sections}`;
  return h("section", {"aria-labelledby": id, class: "card"}, h("h2", {id}, title), children);
}

export function select(label, options, value, onchange) {
  const list = h("select", {onchange: () => onchange(list.value)},
    options.map(([key, text]) => h("option", {value: key, selected: key === value}, text)));
  return h("label", {class: "field"}, h("span", {}, label), list);
}

const SYMBOLS = {ok: "✓", running: "●", testing: "●", open: "○", closed: "■", cancelled: "–", stopped_early: "–"};

// A state in words, with a symbol and a colour that only repeat them.
export function badge(state) {
  return h("span", {class: "badge", dataset: {state}}, h("span", {"aria-hidden": "true"}, SYMBOLS[state] ?? "✗"), ` ${state}`);
}
