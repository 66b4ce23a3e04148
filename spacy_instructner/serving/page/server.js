// What the page asks of its server.

// This tab, also after a reload. A copy of the tab becomes one of its own.
const found = sessionStorage.getItem("tab");
export const TAB = found || Math.random().toString(36).slice(2);
sessionStorage.setItem("tab", TAB);

export class Refused extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

async function answered(answer) {
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))).detail;
  const first = Array.isArray(said) ? said[0]?.msg : said;
  throw new Refused(answer.status, first || `The server answered ${answer.status}.`);
}

async function reached(path, settings) {
  try {
    return await answered(await fetch(path, settings));
  } catch (error) {
    if (error instanceof Refused || error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer. Start it again; nothing that was saved is lost.");
  }
}

export async function get(path, query = {}) {
  const asked = new URLSearchParams(query).toString();
  return (await reached(`api/project${path}${asked ? `?${asked}` : ""}`)).json();
}

export async function post(path, body = {}) {
  const settings = { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  return (await reached(`api/project${path}`, settings)).json();
}

export async function upload(file, query) {
  const asked = new URLSearchParams({ name: file.name, ...query });
  const settings = { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } };
  return (await reached(`api/project/import?${asked}`, settings)).json();
}

// Calls `each` with every event of an answer in JSON Lines.
async function lines(answer, each) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop();
    for (const line of parts) each(JSON.parse(line));
    if (done) return;
  }
}

export async function follow(each) {
  await lines(await reached("api/project/job"), each);
}

export async function annotate(text, labels, each, signal) {
  const settings = {
    method: "POST", signal, body: JSON.stringify({ text, labels }), headers: { "content-type": "application/json" },
  };
  await lines(await reached("api/annotate", settings), each);
}
