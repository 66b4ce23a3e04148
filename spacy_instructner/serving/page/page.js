"use strict";

// What is shown: a text, the places of its tokens, and its entities.
let shown = null;
let asking = null; // the request under way
let training = false;
const examples = [];
const tints = ["#cfe8ff", "#ffe2b3", "#d3efc9", "#ffd3c4", "#e5d6fa", "#fbd0d9", "#c9f0ea", "#ecec9e"];
const $ = (id) => document.getElementById(id);

const make = (name, text, set = {}) => {
  const made = Object.assign(document.createElement(name), set);
  if (text !== undefined) made.textContent = text;
  return made;
};

const say = (text) => { $("status").textContent = text; };

function labels() {
  const found = {};
  for (const line of $("labels").value.split("\n")) {
    const [label, ...meaning] = line.split(/:(?:\s+|$)/);
    if (label.trim()) found[label.trim()] = meaning.join(": ").trim();
  }
  return found;
}

function showLabels() {
  const chosen = $("label").value;
  $("label").replaceChildren(...Object.keys(labels()).map((label) => make("option", label, { value: label })));
  if (chosen in labels()) $("label").value = chosen;
}

function tint(label) {
  const at = Object.keys(labels()).indexOf(label);
  return tints[(at < 0 ? label.length : at) % tints.length];
}

// A request that answers with JSON Lines; calls `each` with every event.
async function post(path, body, each, signal) {
  const answer = await fetch(path, {
    method: "POST", signal, body: JSON.stringify(body), headers: { "content-type": "application/json" },
  });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(typeof said.detail === "string" ? said.detail : `The server answered ${answer.status}.`);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop();
    for (const line of lines) each(JSON.parse(line));
    if (done) return;
  }
}

// Python counts characters, JavaScript half of some of them.
function units(text) {
  const found = [0];
  for (const character of text) found.push(found[found.length - 1] + character.length);
  return found;
}

// Shows what is found in a text, as it is found. Returns it when it is whole, else null.
async function annotate(text, asked) {
  stop();
  const own = new AbortController();
  asking = own;
  const mine = { text, at: units(text), tokens: [], spans: [], failed: [], whole: false, changed: false };
  shown = mine;
  show();
  say("Looking …");
  $("stop").hidden = false;
  const began = performance.now();
  let said;
  try {
    await post("api/annotate", { text, labels: asked }, (event) => {
      if (shown !== mine) return;
      if (event.error) mine.failed.push(event);
      else {
        mine.tokens.push(...event.tokens);
        mine.spans.push(...event.spans);
      }
      show();
    }, own.signal);
    mine.whole = !mine.failed.length;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    said = mine.failed.map((event) => event.error).join(" ") || `${mine.spans.length} found in ${seconds} s`;
  } catch (error) {
    said = error.name === "AbortError" ? "Stopped." : error.message;
  }
  // Another request may be under way already.
  if (asking === own) {
    asking = null;
    $("stop").hidden = true;
    say(said);
    show();
  }
  return mine.whole ? mine : null;
}

function stop() {
  if (asking) asking.abort();
}

// A text with its entities as marks. `act`: what a click on one does.
function marked(text, at, spans, act) {
  const parts = [];
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    parts.push(text.slice(at[end], at[span.start]));
    const words = text.slice(at[span.start], at[span.end]);
    parts.push(span.error ? make("span", words, { className: "failed", title: span.error }) : mark(words, span, act));
    end = span.end;
  }
  parts.push(text.slice(at[end]));
  return parts;
}

function mark(words, span, act) {
  const made = make("mark", words);
  made.dataset.label = span.label;
  made.dataset.score = span.score == null ? "" : span.score.toFixed(2);
  made.style.setProperty("--tint", tint(span.label));
  if (span.own) made.classList.add("new");
  if (act) {
    span.mark = made;
    made.tabIndex = 0;
    made.setAttribute("role", "button");
    made.setAttribute("aria-label", `${words}, ${span.label}. Change or remove`);
    made.addEventListener("click", () => act(span, made));
    made.addEventListener("keydown", (key) => {
      if (key.key !== "Enter" && key.key !== " ") return;
      key.preventDefault(); // Else it would press the menu's first button, too.
      act(span, made);
    });
  }
  return made;
}

function show() {
  if (!shown) return;
  const failed = shown.failed.filter((event) => event.end);
  $("result").replaceChildren(...marked(shown.text, shown.at, [...shown.spans, ...failed], choose));
  // Of what was not read nobody has said that there is nothing.
  $("keep").disabled = !shown.whole || !shown.text.trim();
}

// Change or remove an entity.
function choose(span, mark) {
  const act = (name, change) => {
    const button = make("button", name, { type: "button" });
    button.setAttribute("role", "menuitem");
    button.addEventListener("click", () => { change(); shown.changed = true; show(); closeMenu(); });
    return button;
  };
  const corrected = (label) => () => Object.assign(span, { label, score: null, own: true });
  $("menu").replaceChildren(
    ...Object.keys(labels()).filter((label) => label !== span.label).map((label) => act(label, corrected(label))),
    act("Remove", () => { shown.spans = shown.spans.filter((other) => other !== span); }),
  );
  const box = mark.getBoundingClientRect();
  $("menu").style.left = `${box.left + window.scrollX}px`;
  $("menu").style.top = `${box.bottom + window.scrollY + 2}px`;
  $("menu").hidden = false;
  $("menu").span = span;
  $("menu").firstChild.focus();
}

// Back to the entity that it was opened on, or to the button after the text.
function closeMenu() {
  if ($("menu").hidden) return;
  $("menu").hidden = true;
  const { mark } = $("menu").span;
  (mark && mark.isConnected ? mark : $("keep")).focus();
}

function walkMenu(key) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[key.key];
  if (!step) return;
  key.preventDefault();
  const buttons = [...$("menu").children];
  const at = buttons.indexOf(document.activeElement) + step;
  buttons[(at + buttons.length) % buttons.length].focus();
}

// Where in the shown text a place of the page is, in JavaScript's characters.
function offset(node, inside) {
  const range = document.createRange();
  range.setStart($("result"), 0);
  range.setEnd(node, inside);
  return range.toString().length;
}

// The marked words become an entity; what it overlaps gives way.
function add() {
  const selection = window.getSelection();
  const [result, whole] = [$("result"), document.createRange()];
  if (!shown || selection.isCollapsed || !$("label").value) return;
  if (!result.contains(selection.anchorNode) && !result.contains(selection.focusNode)) return;
  whole.selectNodeContents(result);
  // The mouse may have left the text before it was let go.
  const range = selection.getRangeAt(0).cloneRange();
  if (range.compareBoundaryPoints(Range.START_TO_START, whole) < 0) range.setStart(result, 0);
  if (range.compareBoundaryPoints(Range.END_TO_END, whole) > 0) range.setEnd(whole.endContainer, whole.endOffset);
  selection.removeAllRanges();
  addBetween(offset(range.startContainer, range.startOffset), offset(range.endContainer, range.endOffset));
}

// For keyboards: the first place of some words where nothing is marked yet.
function addWords() {
  const words = $("words").value.trim();
  if (!shown || !words || !$("label").value) return;
  const taken = (from, to) => shown.spans.some((span) => shown.at[span.start] < to && shown.at[span.end] > from);
  let from = shown.text.indexOf(words);
  while (from >= 0 && taken(from, from + words.length)) from = shown.text.indexOf(words, from + 1);
  if (from < 0) { say(`“${words}” is not in the text, or marked already.`); return; }
  addBetween(from, from + words.length);
  $("words").value = "";
}

function addBetween(from, to) {
  const inside = shown.tokens.filter(([start, end]) => shown.at[start] < to && shown.at[end] > from);
  if (!inside.length) return;
  const [start, end] = [inside[0][0], inside[inside.length - 1][1]];
  shown.spans = shown.spans.filter((span) => span.end <= start || span.start >= end);
  shown.spans.push({ start, end, label: $("label").value, score: null, own: true });
  shown.changed = true;
  show();
}

function keep() {
  const spans = shown.spans.map(({ start, end, label }) => ({ start, end, label }));
  spans.sort((a, b) => a.start - b.start);
  const same = examples.findIndex((row) => row.text === shown.text);
  if (same >= 0) examples.splice(same, 1);
  examples.push({ text: shown.text, spans });
  shown.changed = false;
  showExamples();
}

function showExamples() {
  $("examples").replaceChildren(...examples.map((row, place) => {
    const item = make("li");
    const remove = make("button", "×", { type: "button", title: "Forget this example" });
    remove.setAttribute("aria-label", `Forget example ${place + 1}`);
    remove.addEventListener("click", () => { examples.splice(place, 1); showExamples(); });
    item.append(...marked(row.text, units(row.text), row.spans), " ", remove);
    return item;
  }));
  $("count").textContent = examples.length;
  $("train").disabled = training || !examples.length;
  $("download").disabled = !examples.length;
}

// One example a line, as `spacy instructner convert` and configs/fewshot.cfg read them.
function download() {
  const lines = examples.map((row) => JSON.stringify(row) + "\n").join("");
  const url = URL.createObjectURL(new Blob([lines], { type: "application/x-ndjson" }));
  make("a", "", { href: url, download: "examples.jsonl" }).click();
  URL.revokeObjectURL(url);
}

const key = (span) => `${span.start} ${span.end} ${span.label}`;

async function train() {
  if (training) return;
  training = true;
  // Corrections that nobody kept would be lost with the text that is shown.
  if (shown && shown.whole && shown.changed) keep();
  showExamples();
  const [text, asked] = [$("text").value, labels()];
  let failed = "";
  try {
    const first = text.trim() ? await annotate(text, asked) : null;
    const before = first && first.spans.map((span) => ({ ...span }));
    $("progress").hidden = false;
    await post("api/train", { examples, labels: asked }, (event) => {
      if (event.error) failed = event.error;
      else if (event.step) {
        $("progress").max = event.of;
        $("progress").value = event.step;
        say(`Step ${event.step} of ${event.of}, loss ${event.loss.toFixed(2)}`);
      }
    });
    if (!failed) {
      const second = before && await annotate(text, asked);
      if (second) showChange(second, before);
      else say("Trained.");
      await showInfo(false);
    }
  } catch (error) {
    failed = error.message;
  } finally {
    training = false;
    $("progress").hidden = true;
    showExamples();
  }
  if (failed) say(failed);
}

function showChange({ text, at, spans: after }, before) {
  const was = new Map(before.map((span) => [key(span), span]));
  const is = new Map(after.map((span) => [key(span), span]));
  const words = (span) => `“${text.slice(at[span.start], at[span.end])}” ${span.label}`;
  const rows = [
    ...after.filter((span) => !was.has(key(span))).map((span) => `Found now: ${words(span)}`),
    ...before.filter((span) => !is.has(key(span))).map((span) => `No longer found: ${words(span)}`),
    ...after.filter((span) => was.has(key(span)) && span.score != null && was.get(key(span)).score != null)
      .map((span) => `${words(span)}: score ${was.get(key(span)).score.toFixed(2)} → ${span.score.toFixed(2)}`),
  ];
  $("changes").replaceChildren(...(rows.length ? rows : ["Nothing in this text."]).map((row) => make("li", row)));
  $("change").hidden = false;
}

async function showInfo(first) {
  const info = await (await fetch("api/info")).json();
  $("pipeline").textContent = info.pipeline;
  if (first) {
    $("labels").value = Object.entries(info.labels)
      .map(([label, meaning]) => (meaning ? `${label}: ${meaning.replace(/\s+/g, " ")}` : label)).join("\n");
    $("text").maxLength = info.limits.characters;
    showLabels();
  }
}

$("annotate").addEventListener("click", () => { $("change").hidden = true; annotate($("text").value, labels()); });
$("stop").addEventListener("click", stop);
$("labels").addEventListener("input", showLabels);
$("words").addEventListener("keydown", (press) => { if (press.key === "Enter") addWords(); });
$("keep").addEventListener("click", keep);
$("train").addEventListener("click", train);
$("download").addEventListener("click", download);
$("menu").addEventListener("keydown", walkMenu);
document.addEventListener("mouseup", add);
document.addEventListener("mousedown", (press) => { if (!$("menu").contains(press.target)) $("menu").hidden = true; });
document.addEventListener("keydown", (press) => { if (press.key === "Escape") closeMenu(); });
showInfo(true).catch((error) => say(error.message));
