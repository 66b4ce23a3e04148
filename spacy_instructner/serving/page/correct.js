// One text at a time, the least certain first: make it right, accept it, go on.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { TAB, get, post } from "./server.js";
import { Marked, many, markedWords, places, sameSpan, wordsOf } from "./marked.js";
import { Alike } from "./alike.js";
import { STATUS } from "./texts.js";
import { isTyping } from "./help.js";

// What this tab did, the last thing last, and what it has begun to correct: a reload keeps both,
// and another project at this address has its own.
const memory = (id) => {
  const kept = (name, value) => sessionStorage.setItem(`${id} ${name}`, JSON.stringify(value));
  const recall = (name, otherwise) => JSON.parse(sessionStorage.getItem(`${id} ${name}`) ?? "null") ?? otherwise;
  const forget = (name) => sessionStorage.removeItem(`${id} ${name}`);
  const remember = (event) => kept("events", [...recall("events", []), event].slice(-500));
  return { kept, recall, forget, remember };
};
const [SAVING, LOADING] = ["saving", "loading"];
const overlap = (a, b) => a.start < b.end && b.start < a.end;

export function Correct({ project, colours, act, say, start, more }) {
  const { kept, recall, forget, remember } = memory(project.id);
  const [text, setText] = useState(null);
  const [spans, setSpans] = useState([]);
  const [past, setPast] = useState([]);
  const [cursor, setCursor] = useState(null); // [anchor, end], numbers of words
  const [chosen, setChosen] = useState(null);
  const [label, setLabel] = useState(project.labels[0]?.name ?? "");
  const [alike, setAlike] = useState(false);
  const [failed, setFailed] = useState("");
  const region = useRef(null);
  const names = project.labels.map((own) => own.name);
  const active = names.includes(label) ? label : names[0];

  // What was asked last is shown, whatever is answered last.
  const turn = useRef(0);
  const touched = useRef(0);
  // While something is saved, and until the next text is there: a quick key must not mean the
  // last one.
  const busy = useRef("");
  const asked = useRef({});
  const load = async (query = {}, id = more) => {
    const own = (turn.current += 1);
    busy.current = LOADING;
    try {
      const found = await get(id ? `/texts/${id}` : "/next", id ? {} : { tab: TAB, ...query });
      if (turn.current === own) show(found);
    } catch (error) {
      if (turn.current === own) { busy.current = ""; setFailed(error.message); }
    }
  };
  const show = (own) => {
    busy.current = "";
    const draft = recall(`draft ${own.id}`, null);
    const begun = draft && draft.seen === own.seen;
    touched.current += 1;
    setText(own);
    setSpans(begun ? draft.spans : own.spans ?? []);
    setPast(begun ? [own.spans] : []);
    setCursor(null);
    setChosen(null);
    setAlike(false);
    setFailed("");
    requestAnimationFrame(() => region.current?.focus({ preventScroll: true }));
  };
  useEffect(() => { load(asked.current); asked.current = {}; }, [more]);
  // Findings and other tabs change what is shown, but never what somebody has begun.
  const first = useRef(true);
  useEffect(() => {
    if (first.current) { first.current = false; return; }
    if (!text?.id) { load(); return; }
    const [own, before] = [turn.current, touched.current];
    if (!past.length) {
      get(`/texts/${text.id}`).then((found) => {
        // Unless another text is asked for, or this one was changed meanwhile.
        if (turn.current === own && touched.current === before) { setText({ ...text, ...found }); setSpans(found.spans); }
      }, () => {}); // What fails is tried again with the next change.
    }
  }, [project.revision]);

  const change = (next, said) => {
    if (busy.current) return;
    touched.current += 1;
    setPast([...past, spans]);
    setSpans(next);
    kept(`draft ${text.id}`, { seen: text.seen, spans: next });
    say(said);
  };
  const at = text?.text ? places(text.text) : [];
  const range = cursor && [Math.min(...cursor), Math.max(...cursor)];
  const marked = range && { start: text.words[range[0]][0], end: text.words[range[1]][1] };
  const words = (span) => wordsOf(text.text, at, span);

  const add = (place, name) => {
    if (!name) return;
    const own = { start: place.start, end: place.end, label: name, score: null, kind: "own" };
    change([...spans.filter((span) => !overlap(span, own)), own], `“${words(own)}” is ${name}.`);
    setChosen(null);
  };
  const pick = (name) => {
    if (!name) return;
    setLabel(name);
    if (chosen) {
      const own = { ...chosen, label: name, score: null, kind: "own" };
      change(spans.map((span) => (sameSpan(span, chosen) ? own : span)), `“${words(own)}” is ${name}.`);
      setChosen(own);
    } else if (marked) add(marked, name);
  };
  const remove = () => {
    const gone = chosen ? [chosen] : marked ? spans.filter((span) => overlap(span, marked)) : [];
    if (!gone.length) return;
    change(spans.filter((span) => !gone.some((other) => sameSpan(span, other))), `“${words(gone[0])}” is no entity.`);
    setChosen(null);
  };
  const walk = (step, extend) => {
    if (!text.words.length) return;
    const last = text.words.length - 1;
    const to = cursor ? Math.min(last, Math.max(0, cursor[1] + step)) : step > 0 ? 0 : last;
    const next = extend && cursor ? [cursor[0], to] : [to, to];
    setCursor(next);
    const place = { start: text.words[Math.min(...next)][0], end: text.words[Math.max(...next)][1] };
    setChosen(spans.find((span) => span.start === place.start && span.end === place.end) ?? null);
    say(words(place));
  };
  const marking = () => {
    if (!text?.words) return;
    const found = markedWords(region.current, text.words, at);
    if (!found) return;
    window.getSelection().removeAllRanges();
    setCursor(null);
    add({ start: text.words[found[0]][0], end: text.words[found[1]][1] }, active);
  };
  const further = (query) => {
    busy.current = LOADING;
    if (!more) return load(query, "");
    asked.current = query;
    history.replaceState(null, "", "#correct");
    dispatchEvent(new HashChangeEvent("hashchange"));
    return null;
  };
  const next = () => { if (!busy.current) further({ skip: text.id }); };
  const decide = async (answer) => {
    if (busy.current) return;
    busy.current = SAVING;
    const asking = turn.current;
    const own = spans.map(({ start: from, end, label: name }) => ({ start: from, end, label: name }));
    const key = (span) => `${span.start} ${span.end} ${span.label}`;
    const changed = own.map(key).sort().join() !== text.spans.map(key).sort().join();
    // Where another tab was faster, its entities are shown, and nothing that was begun here:
    // whoever accepts then has seen them.
    const late = async () => {
      const found = await get(`/texts/${text.id}`).catch(() => null);
      if (!found || turn.current !== asking) return;
      forget(`draft ${text.id}`);
      show({ ...text, ...found });
    };
    const done = await act(() => post("/decide", { text: text.id, answer, spans: own, changed, seen: text.seen }), late);
    if (done) {
      forget(`draft ${text.id}`);
      remember(done.event);
      say(answer === "reject" ? "Rejected." : changed ? "Corrected." : "Accepted.");
    }
    // Unless somebody has gone to another text meanwhile.
    if (turn.current !== asking) return;
    if (done) await further();
    else busy.current = "";
  };
  const undo = async () => {
    if (busy.current === SAVING) return;
    // Until the next text is there, what was decided is undone, and no step before it.
    if (past.length && !busy.current) {
      touched.current += 1;
      const before = past[past.length - 1];
      setSpans(before);
      setPast(past.slice(0, -1));
      if (past.length > 1) kept(`draft ${text.id}`, { seen: text.seen, spans: before });
      else forget(`draft ${text.id}`);
      setChosen(null);
      return;
    }
    const events = recall("events", []);
    const [of, before] = [events.pop() ?? null, busy.current];
    busy.current = SAVING;
    const done = await act(async () => {
      try {
        const undone = await post("/undo", { of });
        kept("events", events);
        return undone;
      } catch (error) {
        // What is there no longer is forgotten; what the server did not hear of is kept.
        if (error.status === 422) kept("events", events);
        throw error;
      }
    });
    if (!done) { if (busy.current === SAVING) busy.current = before; return; }
    busy.current = LOADING;
    say("Undone.");
    location.hash = `correct/${done.texts[0]}`;
    if (String(more) === String(done.texts[0])) await load({}, more);
  };

  // At once after each change, or a quick hand would act on what was there before.
  useLayoutEffect(() => {
    const pressed = (key) => {
      if (isTyping(key) || key.ctrlKey || key.metaKey || key.altKey || !text?.id) return;
      const button = key.target.closest?.("button, a, mark, summary");
      const reads = region.current && getComputedStyle(region.current).direction === "rtl" ? -1 : 1;
      const acts = {
        a: () => decide("accept"), r: () => decide("reject"), n: next, u: undo,
        m: () => setAlike(!alike), Escape: () => { setCursor(null); setChosen(null); setAlike(false); },
        Delete: remove, Backspace: remove,
        ArrowRight: () => walk(reads, key.shiftKey), ArrowLeft: () => walk(-reads, key.shiftKey),
        Enter: button ? null : () => decide("accept"),
      };
      const number = Number(key.key);
      const own = number >= 1 && number <= names.length ? () => pick(names[number - 1]) : acts[key.key.length === 1 ? key.key.toLowerCase() : key.key];
      // A key that is held down decides once.
      const held = key.repeat && !key.key.startsWith("Arrow");
      if (own || (held && key.key === "Enter")) key.preventDefault();
      if (own && !held) own();
    };
    addEventListener("keydown", pressed);
    document.addEventListener("mouseup", marking);
    document.addEventListener("touchend", marking);
    return () => {
      removeEventListener("keydown", pressed);
      document.removeEventListener("mouseup", marking);
      document.removeEventListener("touchend", marking);
    };
  });

  const title = html`<h2>Correct</h2>`;
  if (!project.texts) return html`${title}<p>There is no text yet. <a href="#texts">Bring some</a>.</p>`;
  if (!names.length) return html`${title}<p>There is no label yet. <a href="#labels">Name what you look for</a>.</p>`;
  if (failed) return html`${title}<p class="bad" role="alert">${failed}</p><button onClick=${() => load()}>Try again</button>`;
  if (!text) return html`${title}<p>Loading …</p>`;
  if (!text.id) {
    return html`${title}<p class="lead">Every text is decided. <a href="#train">Train on them</a>, or
      <a href="#export">export them</a>.</p><button onClick=${undo}>Undo <kbd>U</kbd></button>`;
  }
  const waiting = project.counts.new ?? 0;
  const panel = chosen ? words(chosen) : marked ? words(marked) : "";
  return html`
    ${title}
    ${waiting > 0 && html`<p class="warning">${many(waiting, "text is", "texts are")} not annotated by the present model. <button onClick=${() => start("/annotate")}>Annotate them</button></p>`}
    <div class="row soft" id="place">
      <span>Text ${text.id}${text.source && ` of ${text.source}`}: ${STATUS[text.status]}</span>
      ${text.left !== undefined && html`<span id="left">${text.left} to go</span>`}
    </div>
    <div class="palette" role="group" aria-label="Labels">
      ${names.map((name, i) => html`<button key=${name} aria-pressed=${String(name === active)} style=${{ "--tint": colours[name] }}
        onClick=${() => pick(name)}>${i < 9 && html`<kbd>${i + 1}</kbd> `}${name}</button>`)}
    </div>
    ${text.error && html`<p class="warning">The model failed at this text: ${text.error}</p>`}
    <div id="text" class="text" ref=${region} tabindex="0" role="group" dir="auto"
      aria-label=${`Text ${text.id}. Arrow keys walk through its words, numbers give labels.`}>
      <${Marked} text=${text.text} spans=${spans} colours=${colours} chosen=${chosen}
        cursor=${marked && [at[marked.start], at[marked.end]]}
        choose=${(span) => { setChosen(sameSpan(span, chosen) ? null : span); setCursor(null); }}/>
    </div>
    <div class="row actions">
      <button id="accept" class="main" onClick=${() => decide("accept")}>Accept <kbd>A</kbd></button>
      <button id="reject" onClick=${() => decide("reject")}>Reject <kbd>R</kbd></button>
      <button id="next" onClick=${next}>Next <kbd>N</kbd></button>
      <button id="undo" onClick=${undo}>Undo <kbd>U</kbd></button>
      <button id="remove" disabled=${!chosen && !marked} onClick=${remove}>Remove <kbd>Del</kbd></button>
      <button id="alike" disabled=${!panel} aria-expanded=${String(alike && Boolean(panel))} onClick=${() => setAlike(!alike)}>All alike <kbd>M</kbd></button>
    </div>
    ${alike && panel && html`<${Alike} key=${panel} words=${panel} label=${chosen?.label ?? active} ...${{ project, act }}
      done=${(event) => { remember(event); say("Marked in all texts; U takes it back."); setAlike(false); }}/>`}`;
}
