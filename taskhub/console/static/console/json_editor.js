// Editors of JSON. Each is a textarea: what is typed, undone, marked and sent is its own. Behind its text, which is shown
// through, lie the colours, the lines of faults and the numbers of lines. Without the script it is a plain textarea.
"use strict";

(() => {
const { tokensOf, escaped, coloured, bracketsAt } = jsonText;
const COLOURED_MAX = 200_000; // characters; a longer text stays plain
const PAIRS = { "{": "}", "[": "]", '"': '"' };

// One editor

class Editor {
  constructor(area) {
    this.area = area;
    this.faults = [];
    this.isLeaving = false;
    this.keys = new JsonKeys(this);
    this.build();
    for (const name of ["input", "scroll", "keydown", "focus"]) area.addEventListener(name, (event) => this[name](event));
    this.draw();
    this.readFaults();
  }

  build() {
    const layer = (name, parent) => {
      const element = document.createElement("div");
      element.className = name;
      element.setAttribute("aria-hidden", "true");
      parent.append(element);
      return element;
    };
    const frame = this.area.parentElement;
    frame.classList.add("is-live");
    this.numbers = layer("editor-numbers-text", layer("editor-numbers", frame));
    const behind = layer("editor-behind", frame);
    this.marks = layer("editor-marks", behind);
    this.colours = layer("editor-colours", behind);
    if (this.area.readOnly) return;
    const hint = document.getElementById(`${this.area.id}-help`)?.querySelector("[data-editor-hint]");
    if (hint) hint.hidden = false;
  }

  get text() { return this.area.value; }

  input() { this.moveFaults(); this.draw(); }

  focus() { if (this.area.dataset.schema) this.keys.load(); }

  scroll() {
    const { scrollLeft, scrollTop } = this.area;
    this.marks.style.transform = this.colours.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
    this.numbers.style.transform = `translateY(${-scrollTop}px)`;
  }

  draw() {
    this.drawn = this.text;
    const isShort = this.text.length <= COLOURED_MAX;
    this.area.parentElement.classList.toggle("is-coloured", isShort);
    this.tokens = isShort ? tokensOf(this.text) : [];
    this.colours.innerHTML = isShort ? coloured(this.text, this.tokens) : "";
    this.drawNumbers();
    this.drawMarks();
    this.scroll();
  }

  drawNumbers() {
    const faulty = new Set(this.faults.map((fault) => this.text.slice(0, fault.at).split("\n").length));
    const count = this.text.split("\n").length;
    const sign = `${count} ${[...faulty]}`;
    if (sign === this.drawnNumbers) return;
    this.drawnNumbers = sign;
    this.numbers.innerHTML = Array.from({ length: count }, (_, index) => faulty.has(index + 1) ? `<b>${index + 1}</b>` : index + 1).join("\n");
  }

  // Faults and brackets lie behind the text, as marks in a copy of it that is not seen.
  drawMarks() {
    const pair = document.activeElement === this.area && this.area.selectionStart === this.area.selectionEnd ? bracketsAt(this.tokens, this.area.selectionStart) : [];
    const marks = [...this.faults.map(({ at, end }) => ({ at, end, name: "editor-fault" })), ...pair.map(({ at, end }) => ({ at, end, name: "editor-bracket" }))];
    const sign = JSON.stringify(marks);
    if (sign === this.drawnMarks && this.markedText === this.text) return;
    [this.drawnMarks, this.markedText] = [sign, this.text];
    let html = "";
    let end = 0;
    for (const mark of marks.sort((one, other) => one.at - other.at)) {
      if (mark.at < end) continue;
      html += `${escaped(this.text.slice(end, mark.at))}<span class="${mark.name}">${escaped(this.text.slice(mark.at, mark.end)) || " "}</span>`;
      end = mark.end;
    }
    this.marks.innerHTML = `${html}${escaped(this.text.slice(end))}\n`;
  }

  // Faults come from the server, whose columns count characters, not units of UTF-16.
  placeOf({ line, column, length }) {
    const lines = this.text.split("\n");
    const number = Math.min(Number(line), lines.length);
    const start = lines.slice(0, number - 1).reduce((sum, one) => sum + one.length + 1, 0);
    const units = (count) => [...lines[number - 1]].slice(0, count).join("").length;
    const at = units(Number(column) - 1);
    return { line: number, at: start + at, end: start + Math.max(units(Number(column) - 1 + Number(length)), at + 1) };
  }

  readFaults() {
    const list = document.getElementById(`${this.area.id}-faults`);
    this.faults = [...(list?.querySelectorAll("[data-line]") ?? [])].map((button) => this.placeOf(button.dataset));
    if (this.faults.length) this.area.setAttribute("aria-invalid", "true");
    else this.area.removeAttribute("aria-invalid");
    this.area.parentElement.classList.toggle("wrong", this.faults.length > 0);
    this.drawNumbers();
    this.drawMarks();
  }

  // Until the next check faults stay with their text; where it was changed they are gone.
  moveFaults() {
    const [before, after] = [this.drawn, this.text];
    const most = Math.min(before.length, after.length);
    let head = 0;
    while (head < most && before[head] === after[head]) head += 1;
    let tail = 0;
    while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
    const moved = after.length - before.length;
    this.faults = this.faults.flatMap((fault) => {
      if (fault.end <= head) return [fault];
      return fault.at >= before.length - tail ? [{ ...fault, at: fault.at + moved, end: fault.end + moved }] : [];
    });
  }

  goTo(dataset) {
    const { line, at, end } = this.placeOf(dataset);
    this.area.focus();
    this.area.setSelectionRange(at, Math.min(end, this.text.length));
    this.area.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(this.area).lineHeight));
    this.scroll();
  }

  // What is typed goes in as if by hand, so that it can be undone.
  replace(start, end, text, cursor = start + text.length, cursorEnd = cursor) {
    this.area.focus();
    this.area.setSelectionRange(start, end);
    const done = text ? document.execCommand("insertText", false, text) : document.execCommand("delete");
    if (!done) {
      this.area.setRangeText(text, start, end, "end");
      this.area.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
    this.area.setSelectionRange(cursor, cursorEnd);
  }

  keydown(event) {
    const wasLeaving = this.isLeaving;
    this.isLeaving = event.key === "Escape" || (wasLeaving && event.key === "Shift");
    if (event.isComposing || event.altKey || this.area.readOnly) return;
    const { selectionStart: start, selectionEnd: end } = this.area;
    const isControlled = event.ctrlKey || event.metaKey;
    let isDone = false;
    if (event.ctrlKey && event.key === " ") isDone = this.keys.focus();
    else if (isControlled) return;
    else if (event.key === "Tab" && !wasLeaving) isDone = this.indent(start, end, event.shiftKey);
    else if (event.key === "Enter") isDone = this.breakLine(start, end);
    else if (event.key === "Backspace" && start === end) isDone = this.removePair(start);
    else if (event.key.length === 1) isDone = this.closeBracket(event.key, start, end);
    if (isDone) event.preventDefault();
  }

  // Whether the cursor is in a text or a comment; at the end of one that is not closed it is.
  isInWord(cursor) {
    return this.tokens.some(({ kind, word, at, end }) => ["text", "key", "comment"].includes(kind) && at < cursor
      && (cursor < end || (cursor === end && !/^".*"$|^\/\*[^]*\*\/$/.test(word))));
  }

  closeBracket(sign, start, end) {
    const next = this.text[end] ?? "";
    const closes = sign === '"' ? this.text[start - 1] !== "\\" && this.isInWord(start) && !this.isInWord(start + 1) : "}]".includes(sign) && !this.isInWord(start);
    if (closes && start === end && next === sign) {
      this.area.setSelectionRange(start + 1, start + 1);
      return true;
    }
    if (!Object.hasOwn(PAIRS, sign) || this.isInWord(start) || (start === end && !/^[\s,}\]]?$/.test(next))) return false;
    this.replace(start, end, `${sign}${this.text.slice(start, end)}${PAIRS[sign]}`, start + 1, end + 1);
    return true;
  }

  removePair(cursor) {
    const sign = this.text[cursor - 1];
    if (!sign || PAIRS[sign] !== this.text[cursor]) return false;
    this.replace(cursor - 1, cursor + 1, "");
    return true;
  }

  breakLine(start, end) {
    const line = this.text.slice(this.text.lastIndexOf("\n", start - 1) + 1, start);
    const margin = line.match(/^[ \t]*/)[0];
    const before = line.trimEnd().at(-1);
    const opens = (before === "{" || before === "[") && !this.isInWord(start);
    const closes = opens && this.text[end] === PAIRS[before];
    const inner = `\n${margin}${opens ? "  " : ""}`;
    this.replace(start, end, closes ? `${inner}\n${margin}` : inner, start + inner.length);
    return true;
  }

  indent(start, end, isBack) {
    if (start === end && !isBack) { this.replace(start, end, "  "); return true; }
    const from = this.text.lastIndexOf("\n", start - 1) + 1;
    const to = Math.max(end - (end > start && this.text[end - 1] === "\n" ? 1 : 0), from);
    const lineEnd = this.text.indexOf("\n", to) < 0 ? this.text.length : this.text.indexOf("\n", to);
    const before = this.text.slice(from, lineEnd);
    const after = isBack ? before.replace(/^( {1,2}|\t)/gm, "") : before.replace(/^(?=.)/gm, "  ");
    if (after === before) return true;
    const atStart = Math.max(from, start + (isBack ? -(before.match(/^( {1,2}|\t)?/)[0].length) : 2));
    if (start === end) this.replace(from, lineEnd, after, atStart);
    else this.replace(from, lineEnd, after, from, from + after.length);
    return true;
  }

  tellCursor() {
    const place = document.querySelector(`[data-editor-cursor="${this.area.id}"]`);
    const lines = this.text.slice(0, this.area.selectionStart).split("\n");
    if (place) place.textContent = `Line ${lines.length}, column ${[...lines.at(-1)].length + 1}`;
    this.drawMarks();
    this.keys.tell();
  }
}

const editors = new Map(); // by textarea

// A form with data-unsaved is not left by chance while something in its editors is not sent; "changed" says that it began so.
let isSending = false;
document.addEventListener("submit", () => { isSending = true; });
addEventListener("pageshow", () => { isSending = false; });
addEventListener("beforeunload", (event) => {
  const isUnsaved = ([area]) => area.form?.matches("[data-unsaved]") && (area.form.dataset.unsaved === "changed" || area.value !== area.defaultValue);
  if (!isSending && [...editors].some(isUnsaved)) event.preventDefault();
});

function start(root) {
  for (const area of root.querySelectorAll?.("textarea[data-editor]") ?? []) if (!editors.has(area)) editors.set(area, new Editor(area));
}

const editorOf = (id) => editors.get(document.getElementById(id));

document.addEventListener("htmx:load", (event) => start(event.target));
document.addEventListener("htmx:beforeCleanupElement", (event) => editors.delete(event.target));
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.dataset?.faults) editorOf(event.target.dataset.faults)?.readFaults();
  // A text that came for an editor takes the place of what is in it, and can be undone.
  for (const piece of event.target.querySelectorAll("[data-editor-text]")) {
    const editor = editorOf(piece.dataset.editorText);
    if (!editor) continue;
    editor.replace(0, editor.text.length, piece.textContent, 0);
    editor.area.scrollTop = 0;
    piece.remove();
  }
});
document.addEventListener("selectionchange", () => editors.get(document.activeElement)?.tellCursor());
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-goto]");
  if (button) editorOf(button.dataset.goto)?.goTo(button.dataset);
});
})();
