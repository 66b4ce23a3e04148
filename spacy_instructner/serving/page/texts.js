// Texts come in, and are found again.
import { html, useEffect, useRef, useState } from "./preact.js";
import { get, post, upload } from "./server.js";
import { Marked, many } from "./marked.js";
import { Alike } from "./alike.js";

const PAGE = 50;
const KINDS = ".txt,.csv,.jsonl,.ndjson,.docx,.gz,.json,.spacy,.conll,.iob,.iob2,.bio,.tsv,.conllu";
export const STATUS = {
  new: "not annotated", found: "to correct", failed: "failed",
  accepted: "accepted", corrected: "corrected", rejected: "rejected",
};

export function Texts(props) {
  const { project } = props;
  return html`
    <h2>Texts</h2>
    ${!project.texts && html`<p class="lead">Bring the texts in which you look for names and things: tickets, notes,
      letters. Nothing leaves this machine.</p>`}
    <${Import} ...${props}/>
    ${project.texts > 0 && html`<${List} ...${props}/>`}`;
}

function Import({ project, act, say }) {
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState("");
  const [cut, setCut] = useState("lines");
  const [column, setColumn] = useState("text");
  const [annotation, setAnnotation] = useState(true);
  const [pasted, setPasted] = useState("");
  const [problems, setProblems] = useState([]);

  const told = ({ new: fresh, again, accepted, decided, left_out: left = 0, problems: why = [] }) => {
    setProblems(why);
    const said = [many(fresh, "new text"), again && `${again} there already`, accepted && `${accepted} accepted as annotated`,
      decided && `${decided} decided before, which stay`, left && `${left} left out`];
    say(`${said.filter(Boolean).join(", ")}.`);
  };
  const bring = async (files) => {
    for (const file of files) {
      setBusy(file.name);
      const done = await act(() => upload(file, { cut, column, annotation }));
      if (done) told(done);
    }
    setBusy("");
  };
  const paste = async () => {
    const texts = cut === "lines" ? pasted.split("\n")
      : cut === "paragraphs" ? pasted.split(/\n[^\S\n]*\n/) : [pasted];
    const done = await act(() => post("/texts", { texts: texts.map((text) => text.trim()) }));
    if (done) { told(done); setPasted(""); }
  };
  const drop = (event) => { event.preventDefault(); setOver(false); bring([...event.dataTransfer.files]); };
  return html`<section class=${over ? "drop over" : "drop"} aria-label="Bring texts"
      onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <p><label class="button main" for="file">Choose files</label>
      <input id="file" class="hidden" type="file" multiple accept=${KINDS}
        onChange=${(event) => { bring([...event.target.files]); event.target.value = ""; }}/>
      ${" or drop them here: .txt, .csv, .jsonl, .docx; annotated: .jsonl, .json, .spacy, .conll"}</p>
    <div class="row">
      <label>In plain text and Word, a text is
        <select value=${cut} onChange=${(event) => setCut(event.target.value)}>
          <option value="lines">each line</option><option value="paragraphs">what is between blank lines</option>
          <option value="whole">all of the file</option></select></label>
      <label>In .csv and .jsonl, texts are in
        <input size="8" value=${column} onInput=${(event) => setColumn(event.target.value)}/></label>
      <label>In annotated files, annotation
        <select id="annotation" value=${annotation} onChange=${(event) => setAnnotation(event.target.value === "true")}>
          <option value="true">counts as accepted</option><option value="false">is left out</option></select></label>
    </div>
    <details open=${!project.texts}><summary>Paste or type texts</summary>
      <textarea id="paste" rows="5" dir="auto" aria-label="Texts to add" value=${pasted}
        onInput=${(event) => setPasted(event.target.value)}/>
      <button id="add" disabled=${!pasted.trim()} onClick=${paste}>Add</button>
    </details>
    ${busy && html`<p role="status">Reading ${busy} …</p>`}
    ${problems.length > 0 && html`<div class="warning"><p>Left out:</p>
      <ul>${problems.map((why) => html`<li>${why}</li>`)}</ul></div>`}
  </section>`;
}

function List({ project, colours, act, more }) {
  const [words, setWords] = useState("");
  const [only, setOnly] = useState("");
  const [found, setFound] = useState(null);
  const [rows, setRows] = useState(PAGE);
  const [failed, setFailed] = useState("");
  const box = useRef(null);
  useEffect(() => { if (more === "search") { box.current.focus(); history.replaceState(null, "", "#texts"); } }, []);
  useEffect(() => {
    // What is typed meanwhile is asked for once.
    let late = false;
    const timer = setTimeout(async () => {
      try {
        const own = [];
        let all = Infinity;
        while (own.length < Math.min(rows, all)) {
          const part = await get("/texts", { words, only, begin: own.length, rows: PAGE });
          all = part.all;
          own.push(...part.rows);
          if (!part.rows.length) break;
        }
        if (!late) { setFound({ all, rows: own }); setFailed(""); }
      } catch (error) { if (!late) setFailed(error.message); }
    }, 150);
    return () => { late = true; clearTimeout(timer); };
  }, [words, only, rows, project.revision]);
  return html`<section aria-label="All texts">
    <div class="row">
      <label>Search <kbd>/</kbd> <input id="search" ref=${box} type="search" dir="auto" value=${words}
        onInput=${(event) => { setWords(event.target.value); setRows(PAGE); }}/></label>
      <label>Show <select value=${only} onChange=${(event) => { setOnly(event.target.value); setRows(PAGE); }}>
        <option value="">all</option>
        ${Object.entries(STATUS).map(([name, shown]) => html`<option value=${name}>${shown} (${project.counts[name] ?? 0})</option>`)}
        ${project.labels.map(({ name }) => html`<option value=${`label:${name}`}>with ${name}</option>`)}
      </select></label>
    </div>
    ${words.trim() && project.labels.length > 0 && html`<${Alike} words=${words} ...${{ project, act }}/>`}
    ${failed && html`<p class="bad" role="alert">${failed}</p>`}
    ${!found ? html`<p>Loading …</p>` : html`
      <p class="soft" role="status">${found.all} of ${project.texts} texts</p>
      ${found.all === 0 && html`<p>No text has these words. Try fewer of them.</p>`}
      <ol class="texts">${found.rows.map((row) => html`<li key=${row.id} class=${row.status}>
        <a href=${`#correct/${row.id}`} aria-label=${`Text ${row.id}, ${STATUS[row.status]}: open`}>${row.id}</a>
        <div class="short" dir="auto"><${Marked} text=${row.text} spans=${row.spans} colours=${colours}/></div>
        <span class="soft">${row.error || STATUS[row.status]}</span></li>`)}</ol>
      ${found.rows.length < found.all && html`<button onClick=${() => setRows(rows + PAGE)}>Show more</button>`}`}
  </section>`;
}
