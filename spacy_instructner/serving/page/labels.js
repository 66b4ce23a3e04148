// What is looked for: names, what they mean, colours; and a text to try them on.
import { html, useEffect, useRef, useState } from "./preact.js";
import { annotate, get, post } from "./server.js";
import { Marked, many } from "./marked.js";

// Names that people often look for.
const COMMON = ["PERSON", "ORG", "GPE", "LOC", "DATE", "TIME", "MONEY", "PRODUCT", "EVENT", "EMAIL", "PHONE_NUMBER",
  "ADDRESS", "JOBTITLE", "LANGUAGE", "LAW", "DISEASE", "DRUG", "GENE", "SPECIES", "CHEMICAL"];

export function Labels(props) {
  const { project, start, job } = props;
  const open = project.counts.new ?? 0;
  return html`
    <h2>Labels</h2>
    <p class="lead">Name what you look for. A meaning of a few words helps the model.</p>
    <${Rows} ...${props}/>
    <p class="row"><button id="annotate" class="main" disabled=${!open || !project.labels.length || (job && !job.done)}
      onClick=${() => start("/annotate")}>Annotate ${open ? many(open, "text") : "all texts"}</button>
      <span class="soft">${!project.texts ? html`<a href="#texts">Bring texts</a> first.`
        : !open ? html`All texts are annotated. <a href="#correct">Correct them</a>.` : ""}</span></p>
    <${Try} ...${props}/>`;
}

function Rows({ project, act }) {
  const stored = (labels) => labels.map((own) => ({ ...own, was: own.name }));
  const [rows, setRows] = useState(stored(project.labels));
  const names = project.labels.map((own) => own.name);
  // As it is in the project, unless somebody has begun to write.
  const dirty = useRef(false);
  // The names that the rows began with: what another tab added since is none that was removed here.
  const seen = useRef(names);
  const take = (labels, more = []) => {
    seen.current = labels.map((own) => own.name);
    setRows([...stored(labels), ...more]);
  };
  useEffect(() => { if (!dirty.current) take(project.labels); }, [project.revision]);
  const edit = (i, more) => { dirty.current = true; setRows(rows.map((row, at) => (at === i ? { ...row, ...more } : row))); };
  const save = async (next = rows) => {
    const labels = next.filter((row) => row.name.trim() || row.was);
    // Where another tab was faster, its labels are shown, and those that are new here.
    const late = (now) => {
      const fresh = next.filter((row) => !row.was && !now.labels.some((own) => own.name === row.name.trim()));
      dirty.current = fresh.length > 0;
      take(now.labels, fresh);
    };
    const done = await act(() => post("/labels", { labels, seen: seen.current }), late);
    if (!done) return;
    dirty.current = next.some((row) => !row.name.trim());
    seen.current = done.labels.map((own) => own.name);
    if (!dirty.current) take(done.labels);
    else setRows(next.map((row) => ({ ...row, was: row.name.trim() })));
  };
  const remove = (i) => { const next = rows.filter((_, at) => at !== i); setRows(next); save(next); };
  const add = () => {
    const free = project.colours.find((own) => !rows.some((row) => row.colour === own)) ?? project.colours[rows.length % project.colours.length];
    dirty.current = true;
    setRows([...rows, { name: "", meaning: "", colour: free, was: "" }]);
    requestAnimationFrame(() => document.querySelector("#labels li:last-child .name")?.focus());
  };
  return html`
    <datalist id="common">${COMMON.filter((name) => !names.includes(name)).map((name) => html`<option value=${name}/>`)}</datalist>
    ${!rows.length && html`<p>There is no label yet.</p>`}
    <ol id="labels">${rows.map((row, i) => html`<li key=${i}><${Row} ...${{ row, i, edit, save, remove }}/></li>`)}</ol>
    <button id="label-add" onClick=${add}>Add a label</button>`;
}

function Row({ row, i, edit, save, remove }) {
  const [asked, setAsked] = useState({ asked: "", meaning: "" });
  useEffect(() => {
    if (!row.name.trim()) { setAsked({ asked: "", meaning: "" }); return undefined; }
    const timer = setTimeout(() => get("/suggest", { name: row.name.trim() }).then(setAsked, () => {}), 200);
    return () => clearTimeout(timer);
  }, [row.name]);
  const hint = asked.asked && (asked.meaning || `asked for as “${asked.asked}”`);
  const name = row.name || `label ${i + 1}`;
  return html`<div class="row">
    <input type="color" aria-label=${`Colour of ${name}`} value=${row.colour}
      onInput=${(event) => edit(i, { colour: event.target.value })} onChange=${(event) => save()}/>
    <input class="name" size="16" list="common" aria-label=${`Name of ${name}`} value=${row.name} maxlength="80"
      onInput=${(event) => edit(i, { name: event.target.value })} onChange=${() => row.name.trim() && save()}/>
    <input class="meaning" dir="auto" aria-label=${`Meaning of ${name}`} value=${row.meaning} placeholder=${hint} maxlength="500"
      onInput=${(event) => edit(i, { meaning: event.target.value })} onChange=${() => row.name.trim() && save()}/>
    <button aria-label=${`Remove ${name}`} onClick=${() => remove(i)}>×</button></div>`;
}

function Try({ project, colours, act, say }) {
  const [text, setText] = useState("");
  const [shown, setShown] = useState(null);
  const asking = useRef(null);
  const find = async () => {
    asking.current?.abort();
    const own = new AbortController();
    asking.current = own;
    const spans = [];
    const errors = [];
    setShown({ text, spans: [], state: "Looking …" });
    try {
      await annotate(text, Object.fromEntries(project.labels.map((l) => [l.name, l.meaning])), (event) => {
        if (event.error) errors.push(event.error); else spans.push(...event.spans);
        setShown({ text, spans: [...spans], state: "Looking …" });
      }, own.signal);
      setShown({ text, spans, state: errors.join(" ") || `${spans.length} found` });
    } catch (error) {
      if (error.name !== "AbortError") setShown({ text, spans, state: error.message });
    }
  };
  const add = async () => {
    const done = await act(() => post("/texts", { texts: [text], source: "typed" }));
    if (done) { say(done.new ? "The text is added." : "The text was there already."); setText(""); setShown(null); }
  };
  return html`<section aria-label="Try a text"><h3>Try a text</h3>
    <textarea id="try" rows="3" dir="auto" aria-label="Text to try" value=${text} onInput=${(event) => setText(event.target.value)}/>
    <p class="row"><button id="find" disabled=${!text.trim() || !project.labels.length} onClick=${find}>Find entities</button>
      <button id="try-add" disabled=${!text.trim()} onClick=${add}>Add to the texts</button>
      <span id="found" role="status" class="soft">${shown?.state}</span></p>
    ${shown && html`<div id="tried" class="text" dir="auto"><${Marked} text=${shown.text} spans=${shown.spans} colours=${colours}/></div>`}
  </section>`;
}
