// What may stand at the cursor of a JSON editor, by its schema: a pane beside it, from which it is chosen.
"use strict";

const JsonKeys = (() => {
const { escaped, contextAt, choicesAt, meaningAt } = jsonText;

return class {
  constructor(editor) {
    this.editor = editor;
    this.schema = null; // once it was asked for
  }

  async load() {
    this.schema ??= fetch(this.editor.area.dataset.schema, { headers: { Accept: "application/json" } }).then((answer) => (answer.ok ? answer.json() : null), () => null);
    this.schemaRoot = await this.schema;
    this.tell();
  }

  get pane() { return document.getElementById(`${this.editor.area.id}-keys`); }

  tell() {
    const { pane } = this;
    if (!pane || !this.schemaRoot) return;
    this.context = contextAt(this.editor.tokens, this.editor.area.selectionStart);
    const path = this.context.path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("").replace(/^\./, "");
    const choices = choicesAt(this.schemaRoot, this.context);
    const meaning = meaningAt(this.schemaRoot, this.context);
    const html = `<h2>${this.context.keys ? "Keys" : "Values"} here</h2><p class="help"><code>${escaped(path) || "the whole"}</code> ${escaped(meaning)}</p>`
      + (choices.length ? `<ul>${choices.map((choice, index) => `<li><button type="button" class="link mono" data-choice="${index}">${escaped(choice.label)}</button> <small class="muted">${escaped(choice.note)}</small>${choice.meaning ? `<p class="help">${escaped(choice.meaning)}</p>` : ""}</li>`).join("")}</ul>` : "");
    pane.hidden = false;
    if (pane.drawn === html) return;
    pane.drawn = html;
    pane.innerHTML = html;
    pane.onclick = (event) => { const button = event.target.closest("[data-choice]"); if (button) this.choose(choices[Number(button.dataset.choice)]); };
    pane.onkeydown = (event) => this.moveIn(event, pane);
  }

  focus() {
    const first = this.pane?.querySelector("button");
    first?.focus();
    return Boolean(first);
  }

  moveIn(event, pane) {
    const buttons = [...pane.querySelectorAll("button")];
    const index = buttons.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.editor.area.focus();
    else if (step && index >= 0) buttons[Math.min(Math.max(index + step, 0), buttons.length - 1)].focus();
    else return;
    event.preventDefault();
  }

  choose(choice) {
    const { word, keys } = this.context;
    const cursor = this.editor.area.selectionStart;
    const start = word?.at ?? cursor;
    const end = word?.end ?? cursor;
    const signs = this.editor.tokens.filter((token) => token.kind !== "comment");
    const before = signs.filter((token) => token.end <= start).at(-1)?.word;
    const after = signs.find((token) => token.at >= end);
    if (word && after?.word === ":") { this.editor.replace(start, end, JSON.stringify(choice.label)); return; }
    const comma = keys && before !== "{" && before !== "," ? ", " : "";
    const behind = keys && after && (after.kind === "key" || after.word === '"') ? ", " : "";
    const inner = /(\{\}|\[\]|"")$/.test(choice.word) ? 1 : 0;
    this.editor.replace(start, end, `${comma}${choice.word}${behind}`, start + comma.length + choice.word.length - inner);
  }
};
})();
