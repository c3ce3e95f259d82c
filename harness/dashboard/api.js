// The public API of the server that this page came from.

export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

async function request(path) {
  let response;
  try {
    response = await fetch(path, {headers: {Accept: "*/*"}});
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
