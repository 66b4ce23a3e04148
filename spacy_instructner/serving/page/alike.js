// The same words, marked alike in all texts.
import { html, useEffect, useState } from "./preact.js";
import { get, post } from "./server.js";
import { many } from "./marked.js";

export function Alike({ words, project, act, label: first, done }) {
  const [label, setLabel] = useState(first ?? project.labels[0].name);
  const [whole, setWhole] = useState(true);
  const [there, setThere] = useState(null);
  const marked = label || undefined;
  useEffect(() => {
    let late = false;
    const timer = setTimeout(() => {
      get("/alike", { words, label, case: whole }).then((own) => { if (!late) setThere(own); }, () => setThere(null));
    }, 150);
    return () => { late = true; clearTimeout(timer); };
  }, [words, label, whole, project.revision]);
  const go = async () => {
    const own = await act(() => post("/mark", { words, label: marked ?? null, case: whole }));
    if (own && done) done(own.event);
  };
  const number = there ? `${there.places} in ${many(there.texts, "text")}` : "…";
  return html`<div class="row alike" role="group" aria-label="Mark all alike">
    <span>All <q dir="auto">${words.trim()}</q> are</span>
    <select aria-label="Label of all" value=${label} onChange=${(event) => setLabel(event.target.value)}>
      ${project.labels.map(({ name }) => html`<option value=${name}>${name}</option>`)}
      <option value="">nothing</option></select>
    <label><input type="checkbox" checked=${!whole} onChange=${(event) => setWhole(!event.target.checked)}/> any case</label>
    <button class="go" disabled=${!there?.places} onClick=${go}>${marked ? "Mark" : "Unmark"} ${number}</button>
  </div>`;
}
