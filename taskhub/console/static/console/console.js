// What the pages of the console do by themselves, beside htmx. Every page can be read, and every form sent, without it.
"use strict";

// Parts with data-every="3" are asked for again so often, while somebody looks and has nothing marked in them.
const ago = new Map();

function isBusy(part) {
  const chosen = getSelection();
  const isMarked = !chosen.isCollapsed && chosen.containsNode(part, true);
  return document.hidden || isMarked || document.querySelector(":popover-open") !== null;
}

setInterval(() => {
  for (const part of document.querySelectorAll("[data-every]")) {
    const seconds = (ago.get(part) || 0) + 1;
    const isDue = seconds >= Number(part.dataset.every) && !isBusy(part);
    ago.set(part, isDue ? 0 : seconds);
    if (isDue) htmx.trigger(part, "refresh");
  }
}, 1000);

// Rows that are selected stay so when the table comes anew.
let selected = [];
document.addEventListener("htmx:beforeSwap", () => {
  selected = [...document.querySelectorAll("[name=run]:checked")].map((box) => box.value);
});
document.addEventListener("htmx:afterSettle", () => {
  for (const box of document.querySelectorAll("[name=run]")) box.checked = selected.includes(box.value);
  countSelected();
});

function countSelected() {
  const boxes = [...document.querySelectorAll("[name=run]")];
  const count = boxes.filter((box) => box.checked).length;
  for (const place of document.querySelectorAll("[data-selected]")) place.textContent = `${count} selected`;
  for (const button of document.querySelectorAll("[data-needs-selected]")) button.disabled = !count;
  for (const all of document.querySelectorAll("[data-select-all]")) {
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of document.querySelectorAll("[name=run]")) box.checked = event.target.checked;
  }
  countSelected();
});

// A form with data-once is sent once, however often its button is pressed.
let sent = new WeakSet();
document.addEventListener("submit", (event) => {
  if (sent.has(event.target)) event.preventDefault();
  if (event.target.matches("[data-once]")) sent.add(event.target);
});
addEventListener("pageshow", () => { sent = new WeakSet(); });

// The hub does not answer, or answers with an error: what is shown may be old.
const trouble = (isThere) => { const line = document.getElementById("trouble"); if (line) line.hidden = !isThere; };
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.addEventListener(name, () => trouble(true));
document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.successful) trouble(false); });

// A part with data-events follows a run: the page's parts come again when it moves, at most once a second.
const followed = new WeakMap();
function followRun(part) {
  const events = new EventSource(part.dataset.events);
  followed.set(part, events);
  let timer = null;
  events.addEventListener("run", (event) => {
    const run = JSON.parse(event.data);
    timer ??= setTimeout(() => { timer = null; document.querySelectorAll("[data-moves]").forEach((part) => htmx.trigger(part, "refresh")); }, 500);
    if (run.finished_at) { events.close(); setTimeout(() => htmx.trigger(document.body, "ended"), 600); }
  });
}
document.addEventListener("htmx:load", ({ target }) => {
  const parts = [...target.querySelectorAll("[data-events]")];
  (target.matches("[data-events]") ? [target, ...parts] : parts).forEach(followRun);
});
document.addEventListener("htmx:beforeCleanupElement", ({ target }) => followed.get(target)?.close());

// A log follows its run. It keeps to its end while that is in sight.
function follow(log) {
  const level = log.dataset.level ? `&level=${log.dataset.level}` : "";
  const events = new EventSource(`${log.dataset.log}?follow=true${level}`);
  const note = log.parentElement.querySelector("[data-log-note]");
  events.addEventListener("log", (event) => {
    const line = JSON.parse(event.data);
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    const row = document.createElement("li");
    row.className = `level-${line.level}`;
    for (const [kind, text] of [["span", line.at.slice(11, 23)], ["b", line.level], ["span", line.message]]) {
      row.appendChild(document.createElement(kind)).textContent = text;
    }
    row.title = `${line.at} ${line.logger}, attempt ${line.attempt}`;
    log.appendChild(row);
    log.hidden = false;
    note.textContent = `${log.childElementCount} lines`;
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  events.addEventListener("end", () => { events.close(); note.textContent = log.childElementCount ? `${log.childElementCount} lines` : "It logged nothing."; });
  return events;
}
for (const log of document.querySelectorAll("[data-log]")) {
  let events = follow(log);
  log.parentElement.querySelector("[data-log-level]")?.addEventListener("change", (event) => {
    events.close();
    log.replaceChildren();
    log.dataset.level = event.target.value;
    events = follow(log);
  });
}

// JSON: searched, unfolded and copied.
function search(view, text) {
  const sought = text.trim().toLowerCase();
  let count = 0;
  view.querySelectorAll("mark").forEach((mark) => mark.replaceWith(...mark.childNodes));
  for (const leaf of view.querySelectorAll(".json-key, .json-value")) {
    if (!sought || !leaf.textContent.toLowerCase().includes(sought)) continue;
    count += 1;
    const mark = document.createElement("mark");
    mark.append(...leaf.childNodes);
    leaf.append(mark);
    for (let fold = leaf.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }
  view.querySelector("[data-json-count]").textContent = sought ? `${count} found` : "";
  view.querySelector("mark")?.scrollIntoView({ block: "nearest" });
}
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-json-search]")) search(event.target.closest("[data-json]"), event.target.value);
});

async function copy(button) {
  const text = button.closest("[data-json], [data-copyable]").querySelector("[data-copied]").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // over plain HTTP from another machine there is no clipboard for scripts
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches("[data-copy]")) copy(button);
  if (button?.matches("[data-json-fold]")) {
    const folds = [...button.closest("[data-json]").querySelectorAll("details")];
    const unfold = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = unfold; });
    button.textContent = unfold ? "Fold all" : "Unfold all";
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, textarea, select");
  if (event.key === "/" && !isTyping) {
    const field = document.querySelector("[data-search]");
    if (field) { event.preventDefault(); field.focus(); }
  }
  if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
});

countSelected();
