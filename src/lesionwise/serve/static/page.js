// What the page does beyond forms and links: dropping, pasting, several images at once, folding, asking again,
// one table of all, opacity, copying.
// Results are HTML from the service, or from `device.js` on a page without one; every sentence comes from the page
// (data- attributes of the form).
"use strict";

const form = document.getElementById("ask");
const input = document.getElementById("image");
const list = document.getElementById("list");
const overview = document.getElementById("overview");
const status = document.getElementById("status");
const AT_ONCE = 2;
const TRIES = 8;
let waiting = [];
let working = 0;
let focusNext = false;
const jobs = new WeakMap(); // card → how to ask about its image again

document.documentElement.classList.add("scripted");
input.required = false;

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);
// A message that the page shows in another place as well is only for screen readers.
const announce = (text, { seen = false } = {}) => { status.textContent = text; status.classList.toggle("heard", !seen); };

// Return the metadata fields that are filled in; null, with a message in the browser's language, if one is not valid.
function metadata() {
  const fields = [...form.querySelectorAll("select[name], input[type=number]")];
  const bad = fields.find((field) => !field.checkValidity());
  if (bad) {
    announce(`${bad.closest("label").firstChild.textContent.trim()}: ${bad.validationMessage}`, { seen: true });
    bad.reportValidity();
    return null;
  }
  return fields.filter((field) => field.value).map((field) => [field.name, field.value]);
}

function add(files) {
  const values = metadata();
  if (!files.length || !values) return;
  focusNext = true;
  for (const file of files) queue(pendingCard(file.name || form.dataset.pasted), values, (now, card) => send(file, now, card));
  pump();
}

function addExample(link) {
  const values = metadata();
  if (!values) return;
  focusNext = true;
  queue(pendingCard(link.dataset.name), values, (now, card) => {
    const address = new URL(link.href);
    for (const [name, value] of now) address.searchParams.set(name, value);
    return request(address, {}, card);
  });
  pump();
}

function queue(card, values, job) {
  jobs.set(card, job);
  waiting.push({ card, name: card.dataset.name, ask: () => job(values, card) });
}

// A changed metadata field applies to all images. Each gets a new card, so that an older answer that is still on its
// way finds its card gone.
function askAgain() {
  const values = metadata();
  const cards = [...list.querySelectorAll("article.result")].filter((card) => jobs.has(card));
  if (!values || !cards.length) return;
  for (const card of cards) {
    const again = card.cloneNode(true);
    again.classList.add("pending");
    card.replaceWith(again);
    queue(again, values, jobs.get(card));
  }
  announce(form.dataset.askedAgain, { seen: true });
  pump();
}

function pump() {
  while (working < AT_ONCE && waiting.length) {
    const next = waiting.shift();
    if (!next.card.isConnected) continue;
    working += 1;
    announce(fill(form.dataset.reading, { name: next.name }));
    next.ask().catch((error) => refuse(next.card, globalThis.device ? error.message : form.dataset.unreachable)).finally(() => { working -= 1; pump(); });
  }
}

function pendingCard(name) {
  const card = document.createElement("article");
  card.className = "result pending";
  card.dataset.name = name;
  const text = document.createElement("p");
  text.className = "lead";
  text.textContent = fill(form.dataset.reading, { name });
  card.append(text);
  list.append(card);
  return card;
}

function refuse(card, sentence) {
  if (!card.isConnected) return;
  const title = document.createElement("h2");
  title.tabIndex = -1;
  title.textContent = sentence;
  const kicker = document.createElement("p");
  kicker.className = "kicker";
  kicker.textContent = `${form.dataset.refused} · ${card.dataset.name}`;
  const verdict = document.createElement("div");
  verdict.className = "verdict";
  verdict.append(kicker, title);
  card.className = "result refused";
  card.id = `refused-${Date.now()}-${list.children.length}`;
  card.dataset.short = sentence;
  card.dataset.problem = "not-sent";
  verdict.append(document.getElementById("tools").content.cloneNode(true));
  card.replaceChildren(verdict);
  settle(card);
}

async function send(file, values, card) {
  const most = Number(form.dataset.maxBytes);
  if (file.size > most) {
    refuse(card, fill(form.dataset.tooLarge, { name: card.dataset.name }));
    return;
  }
  if (globalThis.device) {
    put(await globalThis.device.answer(file, values, card.dataset.name), card);
    return;
  }
  const body = new FormData();
  body.append("image", file, "image");
  for (const [name, value] of values) body.append(name, value);
  await request(form.action, { method: "POST", body }, card);
}

async function request(address, options, card) {
  for (let trial = 0; trial < TRIES; trial += 1) {
    const answer = await fetch(address, { ...options, headers: { "X-Lesionwise": "results" } });
    if (answer.status === 503 && trial + 1 < TRIES) {
      announce(form.dataset.busy, { seen: true });
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((wake) => { setTimeout(wake, 1000 * seconds * (1 + Math.random())); });
      continue;
    }
    const html = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = html.querySelector("article.result");
    if (!found) throw new Error("no result");
    put(found, card);
    return;
  }
}

function put(found, card) {
  if (!card.isConnected) return;
  found.dataset.name = card.dataset.name;
  jobs.set(found, jobs.get(card));
  if (card.classList.contains("folded")) fold(found, true);
  for (const place of found.querySelectorAll(".file")) place.textContent = card.dataset.name;
  card.replaceWith(found);
  settle(found);
}

function fold(card, folded) {
  card.classList.toggle("folded", folded);
  card.querySelector("button.fold")?.setAttribute("aria-expanded", String(!folded));
}

function settle(card) {
  announce(fill(form.dataset.done, { name: card.dataset.name, short: card.dataset.short }));
  const cards = list.querySelectorAll("article.result");
  if (cards.length > 1) for (const one of cards) if (!one.dataset.opened) fold(one, true);
  listAll();
  if (focusNext) {
    focusNext = false;
    const title = card.querySelector("h2");
    title.focus({ preventScroll: true });
    card.scrollIntoView({ block: "start", behavior: "smooth" });
  }
}

function listAll() {
  const cards = [...list.querySelectorAll("article.result:not(.pending)")];
  const entries = cards.map((card) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${card.id}`;
    const chip = document.createElement("span");
    chip.className = `chip ${[...card.classList].filter((name) => !["result", "folded", "pending"].includes(name)).join(" ")}`;
    const name = card.dataset.name ?? card.querySelector(".file")?.textContent ?? "";
    link.append(chip, [`${name}: ${card.dataset.short}`, card.dataset.malignant].filter(Boolean).join(" · "));
    item.append(link);
    return item;
  });
  overview.firstElementChild.replaceChildren(...entries);
  overview.hidden = cards.length < 2;
  list.classList.toggle("several", cards.length > 1);
}

// A spreadsheet would run a name that starts like a formula.
const cell = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && typeof value === "string" ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

function tableOfAll() {
  const cards = [...list.querySelectorAll("article.result:not(.pending)")];
  const results = cards.map((card) => answerOf(card)?.results[0]);
  const codes = Object.keys(results.find(Boolean)?.probabilities ?? {});
  const head = ["image_id", ...codes.map((code) => `prob_${code}`), "decision", "top", "malignant_probability", "prediction_set", "ood_score", "problem"];
  const rows = cards.map((card, place) => {
    const one = results[place];
    if (!one) return [card.dataset.name, ...codes.map(() => ""), "", "", "", "", "", card.dataset.problem];
    const set = one.prediction_set?.join(" ");
    return [card.dataset.name, ...codes.map((code) => one.probabilities[code]), one.decision, one.top, one.malignant_probability, set, one.ood_score, ""];
  });
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
}

function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = `data:${kind};charset=utf-8,${encodeURIComponent(text)}`;
  link.download = name;
  link.click();
}

input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
form.querySelector(".besides")?.addEventListener("change", askAgain);
form.addEventListener("submit", (event) => { event.preventDefault(); add([...input.files]); });

let depth = 0;
const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth += 1; form.classList.add("over"); } });
document.addEventListener("dragleave", (event) => { if (carriesFiles(event)) { depth -= 1; if (depth <= 0) form.classList.remove("over"); } });
document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth = 0;
  form.classList.remove("over");
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) add(files);
  else announce(form.dataset.nothingPasted, { seen: true });
});

document.addEventListener("input", (event) => {
  if (!event.target.matches(".heat-slider")) return;
  const heat = event.target.closest(".picture").querySelector(".heat");
  heat.setAttribute("opacity", String(event.target.valueAsNumber / 100));
});

document.addEventListener("click", (event) => {
  const example = event.target.closest(".examples a");
  if (example && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    addExample(example);
    return;
  }
  const entry = event.target.closest("#overview a");
  if (entry) {
    const named = document.getElementById(entry.hash.slice(1));
    if (named) { named.dataset.opened = "yes"; fold(named, false); }
    return;
  }
  const button = event.target.closest("button");
  if (button?.matches(".table")) save("lesionwise.csv", "text/csv", tableOfAll());
  if (button?.matches(".remove-all")) {
    waiting = [];
    list.replaceChildren();
    listAll();
    input.focus();
  }
  const card = button?.closest(".result");
  if (!card) return;
  if (button.matches(".fold")) {
    card.dataset.opened = "yes";
    fold(card, !card.classList.contains("folded"));
  }
  if (button.matches(".print")) window.print();
  if (button.matches(".remove")) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    listAll();
    (next?.querySelector("h2") ?? input).focus();
  }
  if (button.matches(".copy")) copyJson(card, button);
});

function textOf(card) {
  const source = card.querySelector("a[download]")?.href;
  if (!source) return null;
  return new TextDecoder().decode(Uint8Array.from(atob(source.split(",")[1]), (letter) => letter.charCodeAt(0)));
}

const answerOf = (card) => JSON.parse(textOf(card));

async function copyJson(card, button) {
  await navigator.clipboard.writeText(textOf(card));
  announce(form.dataset.copied);
  const word = button.textContent;
  if (word === form.dataset.copied) return;
  button.textContent = form.dataset.copied;
  setTimeout(() => { button.textContent = word; }, 2000);
}

// Browsers give a clipboard only to pages of this machine and of https.
if (!navigator.clipboard) document.documentElement.classList.add("no-clipboard");
for (const card of list.querySelectorAll("article.result")) card.dataset.name = card.querySelector(".file")?.textContent ?? "";
if (list.children.length) listAll();
