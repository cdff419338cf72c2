// What somebody has typed into a form outlives an answer that refuses it: too many calls, a session that has ended, a hub
// that is away. It is kept in this tab, for an hour, never passwords and secrets, and is back when the form is opened again.
"use strict";

const KEPT = "taskhub-typed";
const KEPT_MS = 3600 * 1000;
const UNKEPT = new Set(["hidden", "password", "file", "submit", "button", "reset", "image", "fieldset", "output"]);
const { user } = document.body.dataset; // pages without one, such as errors and the sign-in, have refused what was sent

const isSent = (form) => form.getAttribute("method")?.toLowerCase() === "post" && form.autocomplete !== "off";
const controlsOf = (form) => [...form.elements].filter((control) => control.name && !UNKEPT.has(control.type));
const isChosen = (control) => ["checkbox", "radio"].includes(control.type);

function valueOf(control) {
  if (isChosen(control)) return control.checked;
  return control.type === "select-multiple" ? [...control.selectedOptions].map((option) => option.value) : control.value;
}

function isChanged(control) {
  if (isChosen(control)) return control.checked !== control.defaultChecked;
  if (control.options) return [...control.options].some((option, index) => option.selected !== option.defaultSelected && (index || control.multiple));
  return control.value !== control.defaultValue;
}

// Forms are known by where they are sent to, controls by their names; of those alike by their order.
function named(things, nameOf) {
  const counts = {};
  return new Map(things.map((thing) => {
    const name = nameOf(thing);
    counts[name] = (counts[name] || 0) + 1;
    return [`${name} ${counts[name]}`, thing];
  }));
}
const formsHere = () => named([...document.forms].filter(isSent), (form) => new URL(form.getAttribute("action") || "", location.href).pathname);
const controlsHere = (form) => named(controlsOf(form), (control) => (isChosen(control) ? `${control.name} ${control.value}` : control.name));

function keep(isKept, isRefused) {
  const forms = [...formsHere()].filter(([, form]) => isKept(form) && controlsOf(form).length);
  const values = forms.map(([name, form]) => [name, [...controlsHere(form)].map(([control, found]) => [control, valueOf(found)])]);
  write(values.length ? { user, at: Date.now(), isRefused, values } : null);
}

function write(kept) {
  try {
    if (kept) sessionStorage.setItem(KEPT, JSON.stringify(kept));
    else sessionStorage.removeItem(KEPT);
  } catch { /* a browser that keeps nothing, or has no room */ }
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

function putBack(form, values) {
  const controls = controlsHere(form);
  let count = 0;
  for (const [name, value] of values) {
    const control = controls.get(name);
    if (!control || JSON.stringify(valueOf(control)) === JSON.stringify(value)) continue;
    if (isChosen(control)) control.checked = value;
    else if (Array.isArray(value)) for (const option of control.options) option.selected = value.includes(option.value);
    else control.value = value;
    count += 1;
    for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, { bubbles: true }));
  }
  return count;
}

function putAllBack(kept) {
  const forms = formsHere();
  const found = kept.values.filter(([name]) => forms.has(name));
  if (found.reduce((count, [name, values]) => count + putBack(forms.get(name), values), 0)) {
    const line = document.createElement("p");
    line.className = "notice warning";
    line.setAttribute("role", "status");
    line.textContent = "It was not taken. What you typed is here again.";
    document.getElementById("main").prepend(line);
  }
  return found.length > 0;
}

function begin() {
  const kept = read();
  if (!kept) return;
  const isWayBack = ["back_forward", "reload"].includes(performance.getEntriesByType("navigation")[0]?.type);
  if (!user) write({ ...kept, isRefused: true });
  else if (kept.user !== user || Date.now() - kept.at > KEPT_MS || !(kept.isRefused || isWayBack)) write(null);
  else if (putAllBack(kept)) write(null);
}

if (user) {
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && event.target.getAttribute("method")?.toLowerCase() === "post") keep((form) => form === event.target, false);
  });
  // A part of the page is told that the session has ended, and leads to the sign-in.
  document.addEventListener("htmx:beforeOnLoad", ({ detail }) => {
    if (detail.xhr.status === 401) keep((form) => controlsOf(form).some(isChanged), true);
  });
}
begin();
