// What the pages of the console do by themselves, beside htmx. Every page can be read, and every form sent, without it.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// What comes anew is changed node by node: what has the focus, is typed, scrolled, selected or unfolded stays so.
// Gives the elements that are new.
function morph(old, fresh) {
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  return morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const isAlike = (node, other) => node && node.nodeName === other.nodeName && !node.id;
  const added = [];
  let place = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const twin = node.id ? [...old.children].find((child) => child.id === node.id && child.nodeName === node.nodeName) : isAlike(place, node) && place;
    if (!twin) {
      old.insertBefore(node, place);
      if (node.nodeType === Node.ELEMENT_NODE) added.push(node);
      continue;
    }
    if (twin === place) place = place.nextSibling;
    else old.insertBefore(twin, place);
    if (twin.nodeType === Node.ELEMENT_NODE) added.push(...morph(twin, node));
    else if (twin.data !== node.data) twin.data = node.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
  return added;
}

htmx.defineExtension("morph", {
  handleSwap(style, target, fragment, settling) {
    if (style !== "morph") return false;
    const whole = target.id && fragment.firstElementChild?.id === target.id;
    const added = whole ? morph(target, fragment.firstElementChild) : morphChildren(target, fragment);
    htmx.process(target);
    settling.elts.push(target);
    return added;
  },
});

// Parts with data-every="3" come anew so often, those with data-moves when the run of the page has moved; while somebody
// looks, and has nothing marked in them.
const due = new Set();
const waited = new WeakMap();

function isMarked(part) {
  const chosen = getSelection();
  return !chosen.isCollapsed && chosen.containsNode(part, true);
}

setInterval(() => {
  if (document.hidden) return;
  for (const part of all("[data-every]")) {
    const seconds = (waited.get(part) || 0) + 1;
    waited.set(part, seconds);
    if (seconds >= Number(part.dataset.every)) due.add(part);
  }
  for (const part of due) {
    if (isMarked(part)) continue;
    due.delete(part);
    waited.set(part, 0);
    htmx.trigger(part, "refresh");
  }
}, 1000);

// Moments are told by their distance, which grows.
const skew = Number(document.body.dataset.now) * 1000 - Date.now(); // by how much the hub's clock is ahead of this one
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function relative(seconds) {
  const distance = Math.abs(seconds);
  if (distance < 5) return "now";
  const [unit, size] = UNITS.find(([, size]) => distance >= size);
  const words = `${Math.floor(distance / size)} ${unit}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

setInterval(() => {
  for (const moment of all("time[data-ago]")) {
    const words = relative((Date.now() + skew - Date.parse(moment.dateTime)) / 1000);
    if (moment.textContent !== words) moment.textContent = words;
  }
}, 5000);

// Rows that are selected
function countSelected() {
  const boxes = all("[name=run]");
  const count = boxes.filter((box) => box.checked).length;
  const words = `${count} selected`;
  for (const place of all("[data-selected]")) if (place.textContent !== words) place.textContent = words;
  for (const button of all("[data-needs-selected]")) button.disabled = !count;
  for (const box of all("[data-select-all]")) {
    box.checked = count > 0 && count === boxes.length;
    box.indeterminate = count > 0 && count < boxes.length;
  }
}
document.addEventListener("htmx:afterSwap", countSelected);
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) for (const box of all("[name=run]")) box.checked = event.target.checked;
  countSelected();
});

// A question is a dialog, and is called by its heading.
document.addEventListener("beforetoggle", ({ target }) => {
  if (!target.hasAttribute("popover")) return;
  target.setAttribute("role", "dialog");
  target.setAttribute("aria-label", target.querySelector("h2")?.textContent || "Question");
}, true);

// A form is sent once, however often its button is pressed.
let sent = new WeakSet();
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.getAttribute("method")?.toLowerCase() !== "post") return;
  if (sent.has(event.target)) event.preventDefault();
  sent.add(event.target);
});
addEventListener("pageshow", () => { sent = new WeakSet(); });

// The hub does not answer, or answers with an error: what is shown may be old.
function trouble(words) {
  const line = document.getElementById("trouble");
  if (!line || line.textContent === words) return;
  line.textContent = words;
  line.hidden = !words;
}
const TROUBLES = { 404: "This is not there any more.", 429: "These are too many calls: what you see is old for a minute." };

function tellTrouble(event) {
  const { xhr, target } = event.detail;
  if (xhr.status === 401) return; // it leads to the sign-in
  trouble(TROUBLES[xhr.status] || "The hub does not answer. What you see may be old.");
  if (!target?.matches(".loads") || target.childElementCount) return;
  const button = target.appendChild(document.createElement("button"));
  button.type = "button";
  button.textContent = "Load it again";
  button.addEventListener("click", () => { button.remove(); htmx.trigger(target, "refresh"); });
}
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.addEventListener(name, tellTrouble);
document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.successful) trouble(""); });

// JSON: searched, unfolded and copied.
function search(view, text) {
  const sought = text.trim().toLowerCase();
  let count = 0;
  for (const mark of all("mark", view)) mark.replaceWith(...mark.childNodes);
  for (const leaf of all(".json-key, .json-value", view)) {
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
    const folds = all("details", button.closest("[data-json]"));
    const unfold = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = unfold; });
    button.textContent = unfold ? "Fold all" : "Unfold all";
  }
  for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.isContentEditable || event.target.matches("input, textarea, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const field = document.querySelector("[data-search]");
    if (field) { event.preventDefault(); field.focus(); }
  }
  if (event.key === "Escape") for (const menu of all("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});

countSelected();
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// A page that the hub could not give looks whether it can by now.
async function lookAgain() {
  try {
    if (!document.hidden && (await fetch(location.href, { headers: { Accept: "text/html" } })).status < 500) return location.reload();
  } catch { /* nobody answers at all */ }
  setTimeout(lookAgain, 5000);
}
const away = document.querySelector("[data-away]");
if (away) setTimeout(lookAgain, Number(away.dataset.away) * 1000);
