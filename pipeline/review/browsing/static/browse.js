"use strict";
// Keys, labels without a new page, and the page that waits for the table. Every page works without this, but for its keys.
const byId = (name) => document.getElementById(name);
const typing = (element) => element.matches("input:not([type=checkbox]), textarea, select") || element.isContentEditable;
const labelKeys = { g: "generated", r: "real", u: "unsure" };
const form = byId("label");
const fields = form ? [form.elements.generator, form.elements.note] : [];
const lines = (text) => text.replace(/\r\n?/g, "\n").trim();
const kept = new Map(fields.map((field) => [field, lines(field.defaultValue)])); // what the command has saved
let hide;
let turn = Promise.resolve(); // what is sent goes one after the other, so that undo takes back what came last
let waiting = 0;
let sending = null;

function say(words, lasting = false) {
  const line = byId("said");
  line.textContent = words;
  line.hidden = false;
  clearTimeout(hide);
  if (!lasting) hide = setTimeout(() => { line.hidden = true; }, 6000);
}

function inTurn(task) {
  waiting += 1;
  turn = turn.then(task).finally(() => { waiting -= 1; });
  return turn;
}

const typed = () => fields.filter((field) => lines(field.value) !== kept.get(field));
const texts = () => fields.map((field) => lines(field.value)).join("\0");

async function post(path, values) {
  sending = texts();
  try {
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams(values), headers: { Accept: "application/json" }, keepalive: true });
    const reply = (answer.headers.get("content-type") || "").includes("json") ? await answer.json() : { error: await answer.text() };
    if (answer.ok) return reply;
    say(path === "/undo" ? reply.error : `Not saved: ${reply.error}`, path !== "/undo");
  } catch {
    say("Not saved: the command that serves this page has ended.", true);
  } finally {
    sending = null;
  }
  return null;
}

function count(reply) {
  byId("labels-count").textContent = reply.labels_count.toLocaleString("en");
  byId("undo").disabled = !reply.undo;
  byId("undo").title = reply.undo ? `z: take back the last mark or note, on ${reply.undo}` : "Nothing to undo in this session";
}

// What is in a field and not saved stays there, whatever else has been saved meanwhile.
function settle(label, sent) {
  for (const field of fields) {
    const now = lines((label && label[field.name]) || "");
    const own = lines(field.value);
    const unsaved = own !== kept.get(field) && !(sent && own === lines(sent.get(field.name)));
    kept.set(field, now);
    if (!unsaved && own !== now) field.value = now;
  }
}

function show(id, label, sent = null) {
  const name = label ? label.label : null;
  if (document.querySelector(`.sheet[data-id="${id}"]`)) {
    for (const choice of document.querySelectorAll(".choice")) choice.setAttribute("aria-pressed", String(choice.value === name));
    byId("withdraw").disabled = !name;
    settle(label, sent);
  }
  const place = document.querySelector(`.card[data-id="${id}"] .label`);
  if (place) {
    place.textContent = "";
    if (name) {
      const mark = document.createElement("span");
      mark.className = `mark ${name}`;
      mark.textContent = name === "note" ? "note, not marked" : `marked ${name}${label.note ? ", note" : ""}`;
      place.append(mark);
    }
  }
}

async function send(value, values) {
  values.set("label", value);
  const reply = await post("/label", values);
  if (!reply) return false;
  show(reply.id, reply.label, form ? values : null);
  count(reply);
  return reply;
}

// Saves what is typed and not yet saved; false where that failed.
function save() {
  return inTurn(async () => {
    const changed = typed();
    if (!changed.length) return true;
    const what = changed.map((field) => (field.name === "note" ? "note" : "name of the generator")).join(" and ");
    const gone = changed.every((field) => !lines(field.value));
    const reply = await send("note", new FormData(form));
    if (reply) say(`${reply.name}: ${what} ${gone ? "removed" : "saved"}${reply.label?.label === "note" ? "; the image is not marked" : ""}. z takes it back.`);
    return Boolean(reply);
  });
}

function label(value) {
  const card = document.activeElement.closest(".card");
  if (!form && !card) return;
  inTurn(async () => {
    const values = form ? new FormData(form) : new URLSearchParams({ id: card.dataset.id, unit: card.dataset.unit, index: card.dataset.index });
    const reply = await send(value, values);
    if (!reply) return;
    say(reply.label ? `${reply.name}: marked ${reply.label.label}. z takes it back.` : `${reply.name}: mark and note removed. z brings them back.`);
  });
}

function undo() {
  inTurn(async () => {
    const reply = await post("/undo", {});
    if (!reply) return;
    const here = !form || form.elements.id.value === String(reply.id);
    show(reply.id, reply.label);
    count(reply);
    say(`Undone${here ? "" : ", on another image"}: ${reply.name} ${reply.state}.`);
  });
}

// Marks and notes of other tabs are shown when one comes back to this one.
async function refresh() {
  const shown = [...document.querySelectorAll(".sheet[data-id], .card[data-id]")].map((each) => ["id", each.dataset.id]);
  if (!byId("undo")) return;
  const reply = await fetch(`/labels?${new URLSearchParams(shown)}`).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
  if (!reply || waiting) return;
  for (const [id, value] of Object.entries(reply.labels)) show(id, value);
  count(reply);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

// Leaving a field saves it; a page is left once what was typed there is saved, and what is said of it is said on the next.
for (const field of fields) field.addEventListener("focusout", save);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || link.target || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (!waiting && !typed().length) return;
  event.preventDefault();
  save().then((done) => { if (done) location.assign(link.href); });
});
addEventListener("beforeunload", (event) => {
  if (typed().length && sending !== texts()) event.preventDefault(); // the browser asks; whoever leaves all the same loses nothing
});
addEventListener("pagehide", () => {
  if (typed().length && sending !== texts()) {
    const values = new FormData(form);
    send("note", values);
    sessionStorage.setItem("left", JSON.stringify({ name: form.dataset.name, ...Object.fromEntries(values) }));
  }
  const line = byId("said");
  if (!line.hidden) sessionStorage.setItem("said", line.textContent);
});
const taken = (key) => {
  const kept = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return kept;
};

// What was sent while its page was left is looked for on the next one, and reported.
async function find(left) {
  for (let again = 0; again < 10; again += 1) {
    const reply = await fetch(`/labels?id=${left.id}`).then((answer) => answer.json()).catch(() => null);
    const label = reply?.labels?.[left.id];
    if (["generator", "note"].every((name) => lines(label?.[name] || "") === lines(left[name]))) {
      await refresh();
      say(`${left.name}: what you typed is saved. z takes it back.`);
      return;
    }
    await new Promise((next) => { setTimeout(next, 300); });
  }
  say(`${left.name}: not saved: ${[left.generator, left.note].filter(Boolean).join("; ")}`, true);
}
addEventListener("pageshow", (event) => {
  if (event.persisted) refresh();
  const before = taken("said");
  if (before) say(before);
  const left = taken("left");
  if (left) find(JSON.parse(left));
});

function step(forward) {
  const link = byId(forward ? "after" : "before");
  if (link) { link.click(); return; }
  const cards = [...document.querySelectorAll(".card a")];
  if (!cards.length) return;
  const at = cards.indexOf(document.activeElement);
  const next = at < 0 ? cards[0] : cards[at + (forward ? 1 : -1)];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); return; }
  const page = byId(forward ? "page-after" : "page-before");
  if (page) page.click();
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("dialog[open]") || event.isComposing) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); undo(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    z: undo,
    n: () => form?.elements.note.focus(),
    "?": () => byId("help").showModal(),
    j: () => step(true),
    ArrowRight: () => step(true),
    k: () => step(false),
    ArrowLeft: () => step(false),
    Escape: () => byId("back")?.click(),
  };
  const action = labelKeys[event.key] ? () => label(labelKeys[event.key]) : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = event.submitter?.value;
  if (value && value !== "note") label(value);
  else if (typed().length) save(); // also Enter in a field
  else if (!waiting) say(`Nothing new to save on ${form.dataset.name}.`);
});
byId("undo")?.addEventListener("click", undo);
byId("keys")?.addEventListener("click", () => byId("help").showModal());
if (byId("filters") && matchMedia("(max-width: 60rem)").matches) byId("filters").open = false;

byId("filter")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true; // short addresses
});
addEventListener("pageshow", () => { for (const field of byId("filter")?.elements ?? []) field.disabled = false; });

byId("where")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const heat = byId("heat");
  const said = byId("where-said");
  if (heat.src) {
    heat.hidden = !heat.hidden;
    button.setAttribute("aria-pressed", String(!heat.hidden));
    return;
  }
  const before = said.textContent;
  button.disabled = true;
  said.textContent = "Computing; the first time takes some seconds.";
  const answer = await fetch(button.dataset.src).catch(() => null);
  button.disabled = false;
  if (answer?.ok && answer.headers.get("content-type") === "image/png") {
    heat.src = button.dataset.src; // the browser has it already
    heat.hidden = false;
    button.setAttribute("aria-pressed", "true");
    byId("where-parts").textContent = decodeURIComponent(answer.headers.get("Heat-Words"));
    byId("where-parts").hidden = false;
    said.textContent = before;
  } else if (answer?.ok) {
    said.textContent = (await answer.json()).absent;
  } else {
    said.textContent = "The command that serves this page has ended.";
  }
});

// Who cannot see the drawing that stands for a lost image hears its words.
async function tell(picture) {
  const answer = await fetch(picture.src).catch(() => null);
  if (!answer?.headers.get("content-type")?.includes("svg")) return;
  const drawing = new DOMParser().parseFromString(await answer.text(), "image/svg+xml");
  picture.alt = `The image cannot be shown. ${[...drawing.querySelectorAll("text")].map((line) => line.textContent).join(" ")}`;
}
const large = document.querySelector(".large img");
if (large) addEventListener("load", () => tell(large));

const ahead = document.querySelector(".sheet")?.dataset.ahead;
if (ahead) addEventListener("load", () => { new Image().src = ahead; });

async function watch() {
  const state = await fetch("/state").then((answer) => answer.json()).catch(() => null);
  if (!state) {
    byId("phase").textContent = "The command that serves this page does not answer.";
    setTimeout(watch, 2000);
    return;
  }
  if (state.ready || state.error) { location.reload(); return; }
  const rows = state.images ? `: ${state.images.toLocaleString("en")} rows` : "";
  byId("phase").textContent = `${state.phase}${rows}, ${state.seconds.toFixed(0)} s`;
  if (state.share > 0) byId("share").value = state.share;
  setTimeout(watch, 400);
}
if (byId("phase")) watch();
