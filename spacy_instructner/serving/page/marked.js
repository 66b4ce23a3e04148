// A text with its entities. Places come from Python, which counts code points; JavaScript
// counts halves of some of them (UTF-16).
import { html } from "./preact.js";

// The place of each code point of a text in JavaScript's counting, and of its end.
export function places(text) {
  const found = [0];
  for (const character of text) found.push(found[found.length - 1] + character.length);
  return found;
}

export const wordsOf = (text, at, span) => text.slice(at[span.start], at[span.end]);
export const many = (number, one, several = `${one}s`) => `${number} ${number === 1 ? one : several}`;
export const sameSpan = (a, b) => a && b && a.start === b.start && a.end === b.end && a.label === b.label;
export const shownScore = (score) => (score === null || score === undefined ? "" : score.toFixed(2));

// Where in an element's text a place of the page is, in JavaScript's counting.
export function offset(element, node, inside) {
  const range = document.createRange();
  range.setStart(element, 0);
  range.setEnd(node, inside);
  return range.toString().length;
}

// The words that the mouse has marked in an element, as [first, last]; null for none.
export function markedWords(element, words, at) {
  const selection = window.getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  if (!element.contains(selection.anchorNode) && !element.contains(selection.focusNode)) return null;
  const [range, whole] = [selection.getRangeAt(0).cloneRange(), document.createRange()];
  whole.selectNodeContents(element);
  // The mouse may have left the text before it was let go.
  if (range.compareBoundaryPoints(Range.START_TO_START, whole) < 0) range.setStart(element, 0);
  if (range.compareBoundaryPoints(Range.END_TO_END, whole) > 0) range.setEnd(element, element.childNodes.length);
  const from = offset(element, range.startContainer, range.startOffset);
  const to = offset(element, range.endContainer, range.endOffset);
  const inside = words.map((_, i) => i).filter((i) => at[words[i][0]] < to && at[words[i][1]] > from);
  return inside.length ? [inside[0], inside[inside.length - 1]] : null;
}

// Parts of a stretch of text: what the cursor is on is an element of its own.
function stretch(text, from, to, cursor) {
  if (!cursor || cursor[1] <= from || cursor[0] >= to) return text.slice(from, to);
  const [a, b] = [Math.max(from, cursor[0]), Math.min(to, cursor[1])];
  return [text.slice(from, a), html`<span class="cursor">${text.slice(a, b)}</span>`, text.slice(b, to)];
}

// Spans must not overlap. colours: by label; cursor: [from, to] in JavaScript's counting; choose:
// what pressing an entity does, if anything; chosen: the span that was pressed.
export function Marked({ text, spans, colours, cursor, choose, chosen }) {
  const at = places(text);
  const parts = [];
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    parts.push(stretch(text, at[end], at[span.start], cursor));
    const words = wordsOf(text, at, span);
    const score = shownScore(span.score);
    const pressed = sameSpan(span, chosen);
    const press = choose && {
      role: "button",
      tabIndex: 0,
      "aria-pressed": String(Boolean(pressed)),
      "aria-label": `${words}, ${span.label}${score && `, score ${score}`}`,
      onClick: () => choose(span),
      onKeyDown: (key) => {
        if (key.key !== "Enter" && key.key !== " ") return;
        key.preventDefault();
        key.stopPropagation();
        choose(span);
      },
    };
    const kind = `${span.kind ?? ""} ${pressed ? "chosen" : ""}`;
    parts.push(html`<mark key=${`${span.start} ${span.end} ${span.label}`} class=${kind} data-label=${span.label}
      data-score=${score} style=${{ "--tint": colours[span.label] ?? "#888888" }}
      ...${press}>${stretch(text, at[span.start], at[span.end], cursor)}</mark>`);
    end = span.end;
  }
  parts.push(stretch(text, at[end], text.length, cursor));
  return parts;
}
