// What both pages share: asking the server until it answers, ids, names, pictures of examples.

export const $ = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k === "class") e.className = v;
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== false && v !== undefined) e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children);
  return e;
}

// The same answer sent again has the same id, so that it is kept once.
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

const pause = (ms) => new Promise((go) => setTimeout(go, ms));

export function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

class Refused extends Error {}

async function once(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const reply = await fetch(path, { ...options, cache: "no-store" });
  const text = await reply.text();
  let told = {};
  try { told = JSON.parse(text); } catch { told = { error: text }; }
  if (reply.ok) return told;
  const words = [told.error, told.hint].filter(Boolean).join("; ");
  // The server's own trouble (a full disk) may pass; what it refuses stays refused.
  throw reply.status >= 500 ? new Error(words) : new Refused(words || `refused (${reply.status})`);
}

// Asks until there is an answer: a server that ends and starts again is waited for, and nothing is lost meanwhile.
export async function ask(path, body) {
  for (let tries = 0; ; tries++) {
    try {
      const told = await once(path, body);
      trouble("");
      return told;
    } catch (e) {
      if (e instanceof Refused) { trouble(e.message); throw e; }
      const why = e instanceof TypeError ? "The server does not answer" : `The server has trouble (${e.message})`;
      if (tries > 0) trouble(`${why}. ${body === undefined ? "Trying again" : "Your answer is kept here and sent again"} …`);
      await pause(Math.min(250 * 2 ** tries, 2000));
    }
  }
}

export const kept = {
  get(key) { try { return JSON.parse(localStorage.getItem(location.pathname + key)); } catch { return null; } },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(location.pathname + key);
      else localStorage.setItem(location.pathname + key, JSON.stringify(value));
    } catch { /* A browser without storage forgets what was not submitted. */ }
  },
};

// The examples of a class as tiles out of its strip.
export function tiles(into, index, count) {
  into.replaceChildren();
  for (let k = 0; k < count; k++) {
    const tile = make("div");
    tile.style.backgroundImage = `url("examples/${index}")`;
    tile.style.backgroundSize = `${count * 100}% 100%`;
    tile.style.backgroundPosition = count > 1 ? `${(k * 100) / (count - 1)}% 0` : "0 0";
    into.append(tile);
  }
}

// Asks for a name in the dialog, offering those who are known.
export function introduce(people, total) {
  const dialog = $("hello");
  const field = $("name");
  field.value = kept.get("name") ?? "";
  $("people").replaceChildren(...people.map((p) => make("button", {
    type: "button",
    onclick: () => { field.value = p.name; dialog.close("ok"); },
  }, `${p.name} · ${p.done} of ${total}`)));
  dialog.showModal();
  field.select();
  return new Promise((go) => {
    dialog.addEventListener("close", function closed() {
      const name = field.value.trim();
      if (!name) { dialog.showModal(); return; }
      dialog.removeEventListener("close", closed);
      kept.set("name", name);
      go(name);
    });
  });
}
