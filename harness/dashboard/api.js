// The public API of the server that this page came from.

export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const KEY = "bitloop-token";
// A server with tokens wants one in every request. It is kept for this tab, until the tab is closed.
export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const forgetToken = () => sessionStorage.removeItem(KEY);

// fetch with the token in its header; addresses never hold it.
export function send(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = {Accept: "*/*", ...options.headers};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  return fetch(path, {...options, headers});
}

async function request(path) {
  let response;
  try {
    response = await send(path);
  } catch {
    throw new ApiError(0, "no_answer", "The server does not answer; it may have stopped.");
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch { /* not of ours */ }
  throw new ApiError(response.status, problem.code ?? "", problem.detail ?? `The server answered ${response.status}.`);
}

export const sessionPath = (id) => `/v1/sessions/${encodeURIComponent(id)}`;
export const getJson = async (path) => (await request(path)).json();
export const getText = async (path) => (await request(path)).text();

// For the link to a file: with a token the page fetches it, since a link sends none.
export function download(path, name) {
  return async (event) => {
    if (!hasToken()) return;
    event.preventDefault();
    const url = URL.createObjectURL(await (await request(path)).blob());
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
}

let tasks = null;
// The tasks by name; they do not change while a server lives.
export async function getTasks() {
  tasks ??= getJson("/v1/tasks").then((answer) => new Map(answer.tasks.map((task) => [task.name, task])));
  try {
    return await tasks;
  } catch (error) {
    tasks = null;
    throw error;
  }
}
