// Training, its curve and its measure; the threshold; what two models differ in.
import { html, useEffect, useState } from "./preact.js";
import { get, post } from "./server.js";
import { Marked, many, shownScore } from "./marked.js";

const percent = (share) => (100 * share).toFixed(1);
const called = (number) => (number ? `model ${number}` : "the served pipeline");
const FEW = 5;

export function Train(props) {
  const { project, job, start } = props;
  const [parts, setParts] = useState(3);
  const learned = (project.counts.accepted ?? 0) + (project.counts.corrected ?? 0);
  const busy = job && !job.done;
  const training = busy && job.kind === "training";
  const last = project.models[project.models.length - 1];
  return html`
    <h2>Train</h2>
    <p class="lead">${many(learned, "text is", "texts are")} accepted. ${learned < FEW ? "A few more make a better model. " : ""}A copy of the
      served pipeline learns from all of them, then annotates all texts.</p>
    <p class="row"><button id="train" class="main" disabled=${!learned || busy} onClick=${() => start("/train", { parts: Math.min(parts, learned > 1 ? learned : 0) })}>Train</button>
      <label>and measure it <select id="parts" value=${parts} onChange=${(event) => setParts(Number(event.target.value))}>
        <option value="0">not at all</option>
        ${[2, 3, 5].map((n) => html`<option value=${n}>in ${n} parts (${n} more trainings)</option>`)}</select></label></p>
    ${(training || last) && html`<${Curve} losses=${training ? job.losses : last.losses}/>`}
    ${project.models.length > 0 ? html`<${Models} ...${props}/>` : html`<p class="soft">There is no trained model yet.</p>`}
    ${project.labels.length > 0 && project.texts > 0 && html`<${Threshold} ...${props}/>`}
    ${project.models.length > 0 && html`<${Compare} ...${props}/>`}`;
}

function Curve({ losses }) {
  if (!losses.length) return "";
  const [wide, high] = [300, 80];
  const most = Math.max(...losses, 1e-9);
  const x = (i) => (losses.length > 1 ? (i / (losses.length - 1)) * wide : 0);
  const points = losses.map((loss, i) => `${x(i).toFixed(1)},${(high - (loss / most) * high).toFixed(1)}`).join(" ");
  const said = `Loss: ${losses[0].toFixed(2)} at the first step, ${losses[losses.length - 1].toFixed(2)} at step ${losses.length}`;
  return html`<figure class="curve"><svg viewBox="-4 -4 308 88" role="img" aria-label=${said} preserveAspectRatio="none">
    <polyline points=${points}/></svg><figcaption>${said}</figcaption></figure>`;
}

function Models({ project, act }) {
  const all = [{ number: 0 }, ...project.models];
  return html`<section aria-label="Models"><h3>Models</h3><div class="wide" tabindex="0" role="group" aria-label="Table of models"><table>
    <thead><tr><th>Model</th><th>Texts</th><th>F1, held out</th><th>Precision</th><th>Recall</th><th>Time</th><th></th></tr></thead>
    <tbody>${all.map((model) => html`<tr key=${model.number}>
      <th scope="row">${called(model.number)}</th><td>${model.texts ?? ""}</td>
      <td>${model.f1 === undefined ? "" : percent(model.f1)}</td>
      <td>${model.f1 === undefined ? "" : percent(model.precision)}</td><td>${model.f1 === undefined ? "" : percent(model.recall)}</td>
      <td>${model.seconds === undefined ? "" : `${Math.round(model.seconds)} s`}</td>
      <td>${project.using === model.number ? "in use" : html`<button onClick=${() => act(() => post("/use", { model: model.number }))}
        aria-label=${`Use ${called(model.number)}`}>Use</button>`}</td></tr>`)}
    </tbody></table></div>
    <p class="soft">F1, precision and recall in percent: each part of the accepted texts is predicted by a model that was
      trained on the others.</p></section>`;
}

function Place({ row }) {
  return html`<li><a href=${`#correct/${row.id}`}>${row.id}</a> <span dir="auto">… ${row.before}<b>${row.words}</b>${row.after} …</span>
    <span class="soft"> ${row.label} ${shownScore(row.score)}</span></li>`;
}

function Threshold({ project, act }) {
  const [value, setValue] = useState(project.threshold);
  const [view, setView] = useState(null);
  const [failed, setFailed] = useState("");
  useEffect(() => {
    let late = false;
    const timer = setTimeout(() => get("/threshold", { value }).then(
      (own) => { if (!late) { setView(own); setFailed(""); } }, (error) => { if (!late) setFailed(error.message); }), 120);
    return () => { late = true; clearTimeout(timer); };
  }, [value, project.revision]);
  const list = (rows, all, title) => html`<div><h4>${title} (${all})</h4>
    ${all === 0 ? html`<p class="soft">Nothing.</p>` : html`<ul class="places">${rows.map((row) => html`<${Place} row=${row}/>`)}</ul>`}
    ${rows.length < all && html`<p class="soft">and ${all - rows.length} more</p>`}</div>`;
  return html`<section aria-label="Threshold"><h3>Threshold</h3>
    <p class="row"><label for="threshold">Lowest score that is shown</label>
      <input id="threshold" type="range" min="0" max="1" step="0.01" value=${value} onInput=${(event) => setValue(Number(event.target.value))}/>
      <output for="threshold">${value.toFixed(2)}</output>
      <button id="threshold-set" disabled=${value === project.threshold} onClick=${() => act(() => post("/threshold", { value }))}>Use it</button></p>
    ${failed && html`<p class="bad" role="alert">${failed}</p>`}
    ${view && html`<p>${view.entities} entities: ${Object.entries(view.labels).map(([name, n]) => `${n} ${name}`).join(", ") || "none"}.${view.scores && ` On ${many(view.scores.texts, "accepted text")}: F1 ${percent(view.scores.f1)}, precision ${percent(view.scores.precision)}, recall ${percent(view.scores.recall)}${project.using ? "; the model has learned from them" : ""}.`}</p>
    ${value !== project.threshold && html`<div class="two">
      ${list(view.hidden, view.hides, `Hidden, unlike at ${project.threshold.toFixed(2)}`)}
      ${list(view.shown, view.shows, `Shown, unlike at ${project.threshold.toFixed(2)}`)}</div>`}`}
  </section>`;
}

function Compare({ project, colours, start, job }) {
  const numbers = [0, ...project.models.map((model) => model.number)];
  const [second, setSecond] = useState(project.using || numbers[numbers.length - 1]);
  const [first, setFirst] = useState(second - 1);
  const [view, setView] = useState(null);
  const [rows, setRows] = useState(20);
  const [failed, setFailed] = useState("");
  useEffect(() => {
    let late = false;
    get("/compare", { first, second }).then((own) => { if (!late) { setView(own); setFailed(""); } }, (error) => setFailed(error.message));
    return () => { late = true; };
  }, [first, second, project.revision]);
  const choice = (name, value, set) => html`<select aria-label=${name} value=${value} onChange=${(event) => { set(Number(event.target.value)); setRows(20); }}>
    ${numbers.map((number) => html`<option value=${number}>${called(number)}</option>`)}</select>`;
  const spans = (row) => [...row.gained.map((s) => ({ ...s, kind: "gained" })), ...row.kept];
  return html`<section aria-label="What changed"><h3>What changed</h3>
    <p class="row">From ${choice("From", first, setFirst)} to ${choice("To", second, setSecond)}</p>
    ${failed && html`<p class="bad" role="alert">${failed}</p>`}
    ${view && html`
      ${view.texts < view.all && html`<p class="warning">Both were asked about ${view.texts} of ${many(view.all, "text")}.${[first, second].map((number) => html` <button disabled=${job && !job.done} onClick=${() => start("/annotate", { model: number })}>Ask ${called(number)}</button>`)}</p>`}
      <p id="changed">${view.rows.length} of ${many(view.texts, "text")} differ: ${view.gained} entities more, ${view.lost} less.${view.scores[0] && view.scores[1] && ` On the accepted texts, F1 went from ${percent(view.scores[0].f1)} to ${percent(view.scores[1].f1)}${second ? `; ${called(second)} may have learned from them` : ""}.`}</p>
      <ol class="texts">${view.rows.slice(0, rows).map((row) => html`<li key=${row.id}><a href=${`#correct/${row.id}`} aria-label=${`Open text ${row.id}`}>${row.id}</a>
        <div dir="auto"><${Marked} text=${row.text} spans=${spans(row)} colours=${colours}/></div>
        ${row.lost.length > 0 && html`<span class="soft" dir="auto">No longer: ${row.lost.map((s) => `${[...row.text].slice(s.start, s.end).join("")} ${s.label}`).join(", ")}</span>`}</li>`)}</ol>
      ${view.rows.length > rows && html`<button onClick=${() => setRows(rows + 20)}>Show more</button>`}`}
  </section>`;
}
