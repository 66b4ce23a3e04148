// The texts for other tools, and the pipeline.
import { html, useState } from "./preact.js";

const FILES = [
  ["jsonl", "JSON Lines", "for convert and the training configs"],
  ["spacy", ".spacy", "for spacy train"],
  ["conll", "CoNLL", "a word a line, IOB2"],
  ["prodigy", "Prodigy", "with the answers, rejected texts too"],
];

export function Export({ project, start, job }) {
  const [every, setEvery] = useState(false);
  const [name, setName] = useState("pipeline");
  const [version, setVersion] = useState("0.1.0");
  const decided = (project.counts.accepted ?? 0) + (project.counts.corrected ?? 0);
  const busy = job && !job.done;
  const pack = (kind) => start("/pack", { kind, name, version });
  return html`
    <h2>Export</h2>
    <section aria-label="Texts"><h3>Texts</h3>
      ${decided || (every && project.texts) ? html`<ul class="files">${FILES.map(([kind, shown, what]) => html`<li>
        <a id=${`export-${kind}`} href=${`api/project/export/${kind}?every=${every}`} download>${shown}</a> <span class="soft">${what}</span></li>`)}</ul>`
        : html`<p>No text is accepted yet. <a href="#correct">Correct some</a>.</p>`}
      <p><label><input type="checkbox" checked=${every} onChange=${(event) => setEvery(event.target.checked)}/>
        Texts that nobody decided about, too, as the model has them</label></p></section>
    <section aria-label="Pipeline"><h3>Pipeline</h3>
      <p>${project.using ? `Model ${project.using}` : "The served pipeline"}, with the labels and the threshold of the project.</p>
      <p class="row"><label>Name <input id="name" size="14" value=${name} onInput=${(event) => setName(event.target.value)}/></label>
        <label>Version <input id="version" size="8" value=${version} onInput=${(event) => setVersion(event.target.value)}/></label>
        <button id="pack-folder" disabled=${busy} onClick=${() => pack("folder")}>Pack as folder (zip)</button>
        <button id="pack-wheel" disabled=${busy} onClick=${() => pack("wheel")}>Pack as wheel</button></p>
      ${project.files.length > 0 && html`<ul class="files" id="files">${project.files.map((file) => html`<li>
        <a href=${`api/project/files/${encodeURIComponent(file)}`} download>${file}</a></li>`)}</ul>`}
      <p class="soft">A wheel is installed with <code>pip install</code> beside spacy-instructner, a folder is read by <code>spacy.load</code>.</p></section>`;
}
