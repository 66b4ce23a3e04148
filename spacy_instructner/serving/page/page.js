"use strict";

// What is shown: a text, the places of its tokens, and its entities.
let shown = null;
let before = null; // the entities before a training
let asking = null; // the request under way
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
    const at = line.indexOf(":");
    const label = (at < 0 ? line : line.slice(0, at)).trim();
    if (label) found[label] = at < 0 ? "" : line.slice(at + 1).trim();
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

async function annotate() {
  stop();
  const text = $("text").value;
  const own = new AbortController();
  asking = own;
  shown = { text, at: units(text), tokens: [], spans: [], failed: [] };
  const mine = shown;
  say("Looking …");
  $("stop").hidden = false;
  const began = performance.now();
  try {
    await post("api/annotate", { text, labels: labels() }, (event) => {
      if (shown !== mine) return;
      if (event.error) mine.failed.push(event);
      else {
        mine.tokens.push(...event.tokens);
        mine.spans.push(...event.spans);
      }
      show();
    }, own.signal);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const failed = mine.failed.map((event) => event.error).join(" ");
    say(failed || `${mine.spans.length} found in ${seconds} s`);
  } catch (error) {
    say(error.name === "AbortError" ? "Stopped." : error.message);
  } finally {
    if (asking === own) { asking = null; $("stop").hidden = true; }
    show();
  }
  return mine;
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
    const mark = make("mark", text.slice(at[span.start], at[span.end]));
    mark.dataset.label = span.label;
    mark.dataset.score = span.score == null ? "" : span.score.toFixed(2);
    mark.style.setProperty("--tint", tint(span.label));
    if (span.own) mark.classList.add("new");
    if (act) {
      mark.tabIndex = 0;
      mark.addEventListener("click", () => act(span, mark));
      mark.addEventListener("keydown", (key) => { if (key.key === "Enter") act(span, mark); });
    }
    parts.push(mark);
    end = span.end;
  }
  parts.push(text.slice(at[end]));
  return parts;
}

function show() {
  if (!shown) return;
  $("result").replaceChildren(...marked(shown.text, shown.at, shown.spans, choose));
  $("keep").disabled = asking !== null || !shown.text.trim();
}

// Change or remove an entity.
function choose(span, mark) {
  const act = (name, change) => {
    const button = make("button", name, { type: "button" });
    button.setAttribute("role", "menuitem");
    button.addEventListener("click", () => { change(); $("menu").hidden = true; show(); });
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
  $("menu").firstChild.focus();
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
  if (!shown || selection.isCollapsed || !$("label").value) return;
  const range = selection.getRangeAt(0);
  if (!$("result").contains(range.startContainer) || !$("result").contains(range.endContainer)) return;
  const [from, to] = [offset(range.startContainer, range.startOffset), offset(range.endContainer, range.endOffset)];
  const inside = shown.tokens.filter(([start, end]) => shown.at[start] < to && shown.at[end] > from);
  selection.removeAllRanges();
  if (!inside.length) return;
  const [start, end] = [inside[0][0], inside[inside.length - 1][1]];
  shown.spans = shown.spans.filter((span) => span.end <= start || span.start >= end);
  shown.spans.push({ start, end, label: $("label").value, score: null, own: true });
  show();
}

function keep() {
  const spans = shown.spans.map(({ start, end, label }) => ({ start, end, label }));
  spans.sort((a, b) => a.start - b.start);
  const same = examples.findIndex((row) => row.text === shown.text);
  if (same >= 0) examples.splice(same, 1);
  examples.push({ text: shown.text, spans });
  showExamples();
}

function showExamples() {
  $("examples").replaceChildren(...examples.map((row, place) => {
    const item = make("li");
    const remove = make("button", "×", { type: "button", title: "Forget this example" });
    remove.addEventListener("click", () => { examples.splice(place, 1); showExamples(); });
    item.append(...marked(row.text, units(row.text), row.spans), " ", remove);
    return item;
  }));
  $("count").textContent = examples.length;
  $("train").disabled = $("download").disabled = !examples.length;
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
  before = (await annotate()).spans;
  $("train").disabled = true;
  $("progress").hidden = false;
  let failed = "";
  try {
    await post("api/train", { examples, labels: labels() }, (event) => {
      if (event.error) failed = event.error;
      else if (event.step) {
        $("progress").max = event.of;
        $("progress").value = event.step;
        say(`Step ${event.step} of ${event.of}, loss ${event.loss.toFixed(2)}`);
      }
    });
  } catch (error) {
    failed = error.message;
  }
  $("progress").hidden = true;
  $("train").disabled = !examples.length;
  if (failed) { say(failed); return; }
  const after = (await annotate()).spans;
  showChange(after);
  await showInfo(false);
}

function showChange(after) {
  const was = new Map(before.map((span) => [key(span), span]));
  const is = new Map(after.map((span) => [key(span), span]));
  const words = (span) => `“${shown.text.slice(shown.at[span.start], shown.at[span.end])}” ${span.label}`;
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
      .map(([label, meaning]) => (meaning ? `${label}: ${meaning}` : label)).join("\n");
    $("text").maxLength = info.limits.characters;
    showLabels();
  }
}

$("annotate").addEventListener("click", () => { $("change").hidden = true; annotate(); });
$("stop").addEventListener("click", stop);
$("labels").addEventListener("input", showLabels);
$("result").addEventListener("mouseup", add);
$("keep").addEventListener("click", keep);
$("train").addEventListener("click", train);
$("download").addEventListener("click", download);
document.addEventListener("mousedown", (press) => { if (!$("menu").contains(press.target)) $("menu").hidden = true; });
document.addEventListener("keydown", (press) => { if (press.key === "Escape") $("menu").hidden = true; });
showInfo(true).catch((error) => say(error.message));
