// A run that a page follows: what moves with it, and its log as it grows. Comes after console.js.
"use strict";

(() => {
// A page with data-events follows a run by one stream, and only while somebody looks: a browser has six connections to
// the hub for all its pages. Where a stream is refused, the parts that move tell why: they lead to the sign-in.
const LINES_MAX = 2000; // of a log that a page holds
const PAUSE_MAX = 60; // seconds
const log = document.querySelector("[data-log]");
let followed = ""; // the address of the stream
let stream = null;
let position = 0; // in the log
let lines = 0;
let revision = "";
let pause = 1;

function lookForRun() {
  const part = document.querySelector("[data-events]");
  if ((part?.dataset.events || "") === followed) return;
  followed = part?.dataset.events || "";
  revision = part?.dataset.revision || "";
  if (part) startFollowing();
  else stopFollowing();
}
document.addEventListener("htmx:afterSettle", lookForRun);

function follow() {
  const address = new URL(followed, location.href);
  if (log) address.searchParams.set("after", position);
  if (log?.dataset.level) address.searchParams.set("level", log.dataset.level);
  stream = new EventSource(address);
  stream.addEventListener("open", () => { pause = 1; });
  stream.addEventListener("run", (event) => noteMove(JSON.parse(event.data)));
  stream.addEventListener("log", (event) => { position = event.lastEventId; addLine(JSON.parse(event.data)); });
  stream.addEventListener("end", stopFollowing);
  stream.addEventListener("error", followLater);
}

function unfollow() {
  stream?.close();
  stream = null;
}

function followLater() {
  if (stream?.readyState !== EventSource.CLOSED) return; // the browser comes again by itself
  refreshWhatMoves();
  setTimeout(() => { if (stream?.readyState === EventSource.CLOSED) follow(); }, pause * 1000);
  pause = Math.min(2 * pause, PAUSE_MAX);
}

function refreshWhatMoves() {
  for (const part of all("[data-moves]")) due.add(part);
}

function noteMove(run) {
  if (String(run.revision) !== revision) {
    refreshWhatMoves();
    if (run.finished_at) htmx.trigger(document.body, "ended");
  }
  revision = String(run.revision);
  if (run.finished_at && !log) stopFollowing();
}

function stopFollowing() {
  unfollow();
  document.removeEventListener("visibilitychange", followWhileSeen);
  if (log && !lines && !newLines.length) noteLines();
}

function followWhileSeen() {
  unfollow();
  if (!document.hidden) follow();
}

function startFollowing() {
  document.addEventListener("visibilitychange", followWhileSeen);
  followWhileSeen();
}

// The log keeps to its end while that is in sight. Lines that come at once are shown at once.
let newLines = [];
let showing = null;

function addLine(line) {
  newLines.push(line);
  showing ??= setTimeout(showLines, 100);
}

function showLines() {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  lines += newLines.length;
  log.append(...newLines.slice(-LINES_MAX).map(rowOfLine));
  for (const row of [...log.children].slice(0, -LINES_MAX)) row.remove();
  [newLines, showing] = [[], null];
  log.hidden = false;
  if (atEnd) log.scrollTop = log.scrollHeight;
  noteLines();
}

function rowOfLine(line) {
  const row = document.createElement("li");
  row.className = `level-${line.level}`;
  for (const [kind, text] of [["span", line.at.slice(11, 23)], ["b", line.level], ["span", line.message]]) {
    row.appendChild(document.createElement(kind)).textContent = text;
  }
  row.title = `${line.at} ${line.logger}, attempt ${line.attempt}`;
  return row;
}

function noteLines() {
  const words = lines === 1 ? "1 line" : `${lines} lines`;
  const note = lines > LINES_MAX ? `${words}, of which these are the last ${LINES_MAX}` : words;
  document.querySelector("[data-log-note]").textContent = lines ? note : "It logged nothing.";
}

document.querySelector("[data-log-level]")?.addEventListener("change", (event) => {
  clearTimeout(showing);
  log.replaceChildren();
  log.dataset.level = event.target.value;
  [position, lines, newLines, showing] = [0, 0, [], null];
  startFollowing();
});
lookForRun();
})();
