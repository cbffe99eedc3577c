"use strict";
// Keys, labels without a new page, and the page that waits for the table. Every page works without this, but for its keys.
const byId = (name) => document.getElementById(name);
const typing = (element) => element.matches("input:not([type=checkbox]), textarea, select") || element.isContentEditable;
const labelKeys = { g: "generated", r: "real", u: "unsure" };
let hide;

function say(words) {
  const line = byId("said");
  line.textContent = words;
  line.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { line.hidden = true; }, 6000);
}

async function post(path, values) {
  try {
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams(values), headers: { Accept: "application/json" }, keepalive: true });
    const told = (answer.headers.get("content-type") || "").includes("json") ? await answer.json() : { error: await answer.text() };
    if (answer.ok) return told;
    say(told.error);
  } catch {
    say("Not saved: the command that serves this page has ended.");
  }
  return null;
}

function show(told) {
  const name = told.label ? told.label.label : null;
  byId("labels-count").textContent = told.count.toLocaleString("en");
  const sheet = document.querySelector(`.sheet[data-id="${told.id}"]`);
  if (sheet) {
    for (const choice of document.querySelectorAll(".choice")) choice.setAttribute("aria-pressed", String(choice.value === name));
    const form = byId("label");
    form.elements.generator.value = (told.label && told.label.generator) || "";
    form.elements.note.value = (told.label && told.label.note) || "";
    byId("keep").value = name || "";
    byId("keep").disabled = byId("withdraw").disabled = !name;
  }
  const place = document.querySelector(`.card[data-id="${told.id}"] .label`);
  if (place) {
    place.textContent = "";
    if (name) {
      const mark = document.createElement("span");
      mark.className = `mark ${name}`;
      mark.textContent = `marked ${name}`;
      place.append(mark);
    }
  }
}

async function label(value) {
  const form = byId("label");
  const card = document.activeElement.closest(".card");
  if (!form && !card) return;
  const values = form ? new FormData(form) : new URLSearchParams({ id: card.dataset.id, unit: card.dataset.unit, index: card.dataset.index });
  values.set("label", value);
  const told = await post("/label", values);
  if (!told) return;
  show(told);
  say(told.label ? `${told.name}: marked ${told.label.label}. z takes it back.` : `${told.name}: label removed.`);
}

async function undo() {
  const told = await post("/undo", {});
  if (!told) return;
  show(told);
  say(told.label ? `Taken back: ${told.name} is marked ${told.label.label} again.` : `Taken back: ${told.name} has no label.`);
}

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
    n: () => byId("label")?.elements.note.focus(),
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

byId("label")?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter?.value) label(event.submitter.value);
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
