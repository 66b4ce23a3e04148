// The page: its screens, what they share, and the job that is under way.
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { follow, get, post } from "./server.js";
import { Correct } from "./correct.js";
import { Export } from "./export.js";
import { Help, isTyping } from "./help.js";
import { Labels } from "./labels.js";
import { Texts } from "./texts.js";
import { Train } from "./train.js";

const SCREENS = { texts: Texts, labels: Labels, correct: Correct, train: Train, export: Export };
const TITLES = { texts: "Texts", labels: "Labels", correct: "Correct", train: "Train", export: "Export" };
// How often to look for what other tabs did, in milliseconds.
const LOOK = 8000;

const place = () => {
  const [screen, more] = location.hash.slice(1).split("/");
  return { screen: screen in SCREENS ? screen : "texts", more };
};

function App() {
  const [project, setProject] = useState(null);
  const [at, setAt] = useState(place());
  const [note, setNote] = useState({ text: "" });
  const [job, setJob] = useState(null);
  const [help, setHelp] = useState(false);
  const [fatal, setFatal] = useState("");
  const following = useRef(0);

  const say = (text, bad = false) => setNote({ text, bad, time: Date.now() });
  // Does something, says what went wrong, and shows what there is afterwards. late: what to do
  // where another tab was faster.
  const act = async (make, late = () => {}) => {
    let done;
    try {
      done = await make();
    } catch (error) {
      say(error.message, true);
      const now = error.status === 409 && await refresh().catch(() => null);
      if (now) await late(now);
      return null;
    }
    // What is done is done, whether it can be shown or not.
    await refresh().catch((error) => setFatal(error.message));
    return done;
  };
  const refresh = async () => {
    const own = await get("");
    setProject(own);
    setFatal("");
    if (own.job && !own.job.done) watch(own.job);
    return own;
  };

  // Every event of a job, from its first one, however late this tab comes.
  const watch = async (view) => {
    if (following.current === view.number) return;
    following.current = view.number;
    const own = { ...view, losses: [], place: {}, error: "", stopped: false };
    setJob({ ...own });
    try {
      await follow((event) => {
        if (event.error) own.error = event.error;
        if (event.stopped) own.stopped = true;
        if (event.phase) own.place = event;
        if (event.phase === "train") own.losses.push(event.loss);
        if (event.file) own.file = event.file;
        setJob({ ...own, losses: [...own.losses] });
      });
      own.done = true;
      const what = own.kind[0].toUpperCase() + own.kind.slice(1);
      say(own.error || (own.stopped ? `${what} was stopped.` : `${what} is done.`), Boolean(own.error));
    } catch (error) {
      say(error.message, true);
      setJob({ ...own, done: true });
      // It may still be under way: the next look follows it again.
      following.current = 0;
      return;
    }
    setJob({ ...own, done: true });
    await refresh().catch((error) => say(error.message, true));
  };
  const start = (path, body) => act(async () => watch(await post(path, body)));

  useEffect(() => {
    refresh().catch((error) => setFatal(error.message));
    const moved = () => setAt(place());
    const look = () => { if (!document.hidden) refresh().catch((error) => setFatal(error.message)); };
    const timer = setInterval(look, LOOK);
    addEventListener("hashchange", moved);
    document.addEventListener("visibilitychange", look);
    return () => { clearInterval(timer); removeEventListener("hashchange", moved); };
  }, []);
  useEffect(() => {
    const pressed = (key) => {
      if (isTyping(key) || key.ctrlKey || key.metaKey || key.altKey) return;
      if (key.key === "?") setHelp(true);
      else if (key.key === "/") {
        key.preventDefault();
        const box = document.getElementById("search");
        if (box) box.focus(); else location.hash = "texts/search";
      } else return;
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);

  if (!project) {
    return html`<header><h1>spacy-instructner</h1></header>
      <main><p role="status">${fatal || "Loading …"}</p>
      ${fatal && html`<button onClick=${() => refresh().catch((error) => setFatal(error.message))}>Try again</button>`}</main>`;
  }
  const Screen = SCREENS[at.screen];
  const colours = Object.fromEntries(project.labels.map((label) => [label.name, label.colour]));
  return html`
    <a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.getElementById("content").focus(); }}>To the content</a>
    <header>
      <h1>spacy-instructner</h1>
      <nav aria-label="Steps">
        ${Object.keys(SCREENS).map((name) => html`<a key=${name} href=${`#${name}`}
          aria-current=${name === at.screen ? "page" : undefined}>${TITLES[name]}${count(name, project)}</a>`)}
      </nav>
      <button class="plain" onClick=${() => setHelp(true)} aria-haspopup="dialog">Help <kbd>?</kbd></button>
    </header>
    <div class="notes">
      ${project.temporary && html`<p class="warning">Nothing is kept when the server ends.
        Start it with <code>--project FOLDER</code> to keep the work.</p>`}
      ${project.torn > 0 && html`<p class="warning">The server was stopped while it wrote. The last step was cut off;
        all before it is there.</p>`}
      ${project.missing > 0 && html`<p class="warning">The folder of model ${project.missing} is gone from the project. The
        served pipeline is in use.</p>`}
      ${fatal && html`<p class="warning" role="alert">${fatal}</p>`}
      ${job && !job.done && html`<${Progress} job=${job} stop=${() => act(() => post("/stop"))}/>`}
      <p id="status" class=${note.bad ? "bad" : ""} role=${note.bad ? "alert" : "status"}>${note.text}</p>
    </div>
    <main id="content" tabindex="-1">
      <${Screen} key=${at.screen} ...${{ project, colours, act, say, start, refresh, job }} more=${at.more}/>
    </main>
    <${Help} open=${help} close=${() => setHelp(false)}/>`;
}

function count(name, { texts, labels, counts, models }) {
  const open = texts - (counts.accepted ?? 0) - (counts.corrected ?? 0) - (counts.rejected ?? 0);
  const number = { texts, labels: labels.length, correct: open, train: models.length }[name];
  return number ? html` <small class="count">${number}</small>` : "";
}

function Progress({ job, stop }) {
  const { phase, done, step, of, part, parts } = job.place;
  const said = {
    annotate: `Annotating: ${done} of ${of} texts`,
    train: `Training: step ${step} of ${of}`,
    measure: `Measuring: part ${part} of ${parts}, step ${step} of ${of}`,
    pack: "Packing the pipeline",
  }[phase] ?? "Getting ready";
  const value = done ?? step;
  return html`<div class="job"><label for="progress">${said}</label>
    <progress id="progress" max=${of || 1} value=${value === undefined ? undefined : value}/>
    <button onClick=${stop}>Stop</button></div>`;
}

render(html`<${App}/>`, document.getElementById("app"));
