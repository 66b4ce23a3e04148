// One screen of help.
import { html, useEffect, useRef } from "./preact.js";

const KEYS = [
  ["A or Enter", "accept the text as it is shown"],
  ["R", "reject it: it is set aside, and nothing is learned from it"],
  ["N", "next text; this one comes back later"],
  ["U", "undo"],
  ["1 … 9", "label of new entities, or of the one that is chosen"],
  ["← →", "walk through the words; with Shift, choose several"],
  ["Delete", "remove the chosen entity"],
  ["M", "mark all alike"],
  ["/", "search"],
  ["?", "this help"],
];

// Is a key meant for a field, or for a dialog?
export function isTyping(event) {
  const { target } = event;
  return target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, dialog") != null;
}

export function Help({ open, close }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="help">
    <h2 id="help">From texts to a pipeline</h2>
    <ol>
      <li><b>Texts.</b> Drop a file or paste. Equal texts come in once.</li>
      <li><b>Labels.</b> Name what you look for, say what it means, then annotate all texts.</li>
      <li><b>Correct.</b> The page shows the text that the model is least sure about. Make it right, then accept it.
        Mark words with the mouse, or with the arrow keys and a number.</li>
      <li><b>Train.</b> Ten corrected texts are a beginning. See what the new model finds, and what it lost.</li>
      <li><b>Export.</b> Take the texts, or the pipeline as a folder or wheel.</li>
    </ol>
    <h3>Keys of the Correct screen</h3>
    <dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <p class="soft">Every step is saved when you make it. Several tabs may work on one project.</p>
    <button onClick=${close}>Close</button>
  </dialog>`;
}
