// One registry of shortcuts for every page.
//
// An element with data-key="y" is clicked (a field: focused) by that key, data-key="g m" by g and then m.
// data-key-name says what it does, otherwise its text. In a list marked data-list, j and k move, Enter opens.
// What stands in a part marked data-scope has its keys while the <details> around it is open, and then it alone.
// Shortcuts never fire while someone types or with Ctrl, Alt or Meta. People may change them in the dialog
// that "?" opens; what they chose is kept with their account.
(() => {
  "use strict";

  document.documentElement.classList.add("js");

  const SEQUENCE_MS = 1200;
  const MOVES = [
    { name: "Next row", key: "j", run: () => move(1) },
    { name: "Row before", key: "k", run: () => move(-1) },
  ];
  let prefix = "";
  let prefixTimer = 0;
  let learning = null; // the shortcut whose new key is being asked for

  // {what a shortcut does: its key}, as far as it was changed; it came with the page.
  let changed = {};

  async function choose(map) {
    changed = map;
    const token = /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1] || "";
    try {
      const response = await fetch(dialog().dataset.store, {
        method: "POST",
        body: new URLSearchParams({ shortcuts: JSON.stringify(map) }),
        headers: { "HX-Request": "true", "X-CSRFToken": token },
        credentials: "same-origin",
      });
      if (response.status === 204) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      say(page.querySelector(".notice")?.textContent.trim() || "It holds on this page only: sign in again to keep it.");
    } catch {
      say("It holds on this page only: the server cannot be reached to keep it.");
    }
  }

  function scopeOf(element) {
    return element?.closest("[data-scope]") || null;
  }

  // The part whose keys are the only ones now, if one is open.
  function scopeOpen() {
    return [...document.querySelectorAll("details[open] [data-scope]")].find((part) => !part.closest("template, [inert]")) || null;
  }

  function isTyping(target) {
    if (!(target instanceof Element)) return false;
    if (target.closest("textarea, select, [contenteditable]:not([contenteditable='false'])")) return true;
    const input = target.closest("input");
    return Boolean(input) && !["button", "submit", "reset", "checkbox", "radio"].includes(input.type);
  }

  // Whether a key press may be a shortcut at all.
  function isFree(event) {
    const withModifier = event.ctrlKey || event.altKey || event.metaKey;
    return !(withModifier || event.isComposing || event.defaultPrevented || isTyping(event.target) || document.querySelector("dialog[open]"));
  }

  function nameOf(element) {
    if (element.dataset.keyName) return element.dataset.keyName;
    const text = element.cloneNode(true);
    text.querySelectorAll("kbd").forEach((kbd) => kbd.remove());
    return (element.getAttribute("aria-label") || text.textContent || "").trim().replace(/\s+/g, " ");
  }

  function isUsable(element) {
    // What stands in a closed menu may still be reached by its key.
    return !element.disabled && !element.closest("[hidden], template, [inert]");
  }

  // All shortcuts of the page with the keys that this person uses: {name, first, key, run, element}.
  function shortcuts() {
    const found = [...document.querySelectorAll("[data-key]")].filter(isUsable).map((element) => ({
      name: nameOf(element),
      first: element.dataset.key,
      element,
      run: () => activate(element),
    }));
    if (document.querySelector("[data-list]")) {
      found.push(...MOVES.map((it) => ({ name: it.name, first: it.key, run: it.run, repeats: true })));
    }
    for (const it of found) it.key = changed[it.name] ?? it.first;
    return found;
  }

  function activate(element) {
    if (element.dataset.key === "?") {
      open();
    } else if (isTyping(element)) {
      element.focus();
      if (element.select) element.select();
    } else {
      element.click();
    }
  }

  function rows() {
    const found = [];
    for (const list of document.querySelectorAll("[data-list]")) {
      for (const row of list.matches("table") ? list.querySelectorAll("tbody > tr") : list.children) {
        const link = row.matches("a[href]") ? row : row.querySelector("a[href], button");
        if (link && isUsable(link)) found.push(link);
      }
    }
    return found;
  }

  function move(step) {
    const links = rows();
    if (!links.length) return;
    const active = document.activeElement;
    // A list may also be a row of columns, in which every link has the same tr.
    const exact = links.indexOf(active);
    const here = exact >= 0 ? exact : links.findIndex((link) => link.closest("tr, li")?.contains(active));
    const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + step, 0), links.length - 1);
    links[next].focus();
    links[next].scrollIntoView({ block: "nearest" });
  }

  function setPrefix(key) {
    clearTimeout(prefixTimer);
    prefix = key;
    if (key) prefixTimer = setTimeout(() => setPrefix(""), SEQUENCE_MS);
  }

  function pressed(event) {
    return event.key.length === 1 ? event.key.toLowerCase() : event.key;
  }

  function onKey(event) {
    if (learning) return learn(event);
    if (event.key === "Escape" && isTyping(event.target) && !event.isComposing) {
      event.target.blur();
      return undefined;
    }
    const scope = scopeOpen();
    if (scope && event.key === "Escape" && !document.querySelector("dialog[open]")) {
      const details = scope.closest("details");
      details.open = false;
      details.querySelector("summary").focus();
      return undefined;
    }
    if (!isFree(event) || event.key === "Shift") return undefined;
    const press = prefix ? `${prefix} ${pressed(event)}` : pressed(event);
    const all = shortcuts().filter((it) => scopeOf(it.element) === scope);
    setPrefix("");
    const hit = all.find((it) => it.key === press);
    if (hit) {
      event.preventDefault();
      if (!event.repeat || hit.repeats) hit.run();
    } else if (all.some((it) => it.key.startsWith(`${press} `))) {
      event.preventDefault();
      setPrefix(press);
    }
    return undefined;
  }

  // The dialog

  const dialog = () => document.getElementById("keys");

  function say(sentence) {
    const place = document.getElementById("keys-wrong");
    place.textContent = sentence;
    place.hidden = !sentence;
  }

  function open() {
    learning = null;
    say("");
    fill();
    dialog().showModal();
  }

  function cell(child) {
    const td = document.createElement("td");
    td.append(child);
    return td;
  }

  function fill() {
    const seen = new Set();
    const list = shortcuts().filter((it) => !seen.has(it.name) && seen.add(it.name));
    document.getElementById("keys-rows").replaceChildren(...list.map(line));
  }

  function line(it) {
    const kbd = document.createElement("kbd");
    kbd.textContent = it.key || "none";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn small";
    button.textContent = "Change";
    button.setAttribute("aria-label", `Change the key for: ${it.name}`);
    button.addEventListener("click", () => {
      learning = { ...it, keys: [], kbd };
      kbd.textContent = "press a key";
      say("");
    });
    const tr = document.createElement("tr");
    tr.append(cell(it.name), cell(kbd), cell(button));
    return tr;
  }

  function learn(event) {
    event.preventDefault();
    event.stopPropagation();
    if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    const it = learning;
    if (event.key === "Escape") return finish();
    if (event.key === "Delete" || event.key === "Backspace") return keep(it, "");
    if (event.key.length !== 1 || event.key === " " || event.ctrlKey || event.altKey || event.metaKey) {
      say("A shortcut is one letter, digit or sign, without Ctrl, Alt or Meta.");
      return;
    }
    if (document.querySelector("[data-digits]") && /^\d$/.test(event.key)) {
      say("Digits mark words on this page; take a letter or a sign.");
      return;
    }
    const wanted = it.first.startsWith("g ") ? `g ${pressed(event)}` : pressed(event);
    const rivals = shortcuts().filter((one) => one.name !== it.name && scopeOf(one.element) === scopeOf(it.element));
    const other = rivals.find((one) => (one.key === wanted || one.key.startsWith(`${wanted} `)));
    if (other) {
      say(`“${wanted}” already stands for: ${other.name}. Nothing was changed.`);
      finish();
      return;
    }
    keep(it, wanted);
  }

  function keep(it, key) {
    const map = { ...changed };
    if (key === it.first) delete map[it.name];
    else map[it.name] = key;
    say("");
    choose(map);
    finish();
    show();
  }

  function finish() {
    const name = learning?.name;
    learning = null;
    fill();
    if (name) document.querySelector(`#keys-rows button[aria-label=${JSON.stringify(`Change the key for: ${name}`)}]`)?.focus();
  }

  // The keys as they stand on buttons.
  function show() {
    for (const it of shortcuts()) {
      const kbd = it.element?.querySelector(":scope > kbd");
      if (kbd) kbd.textContent = it.key;
    }
  }

  document.addEventListener("keydown", onKey, { capture: true });
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target.closest("[data-key='?']")) open();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target) || event.target.closest("a, button")) menu.open = false;
    }
  });
  document.addEventListener("DOMContentLoaded", () => {
    changed = JSON.parse(document.body.dataset.shortcuts || "{}");
    document.getElementById("keys-reset").addEventListener("click", () => {
      say("");
      choose({});
      fill();
      show();
    });
    dialog().addEventListener("close", () => { learning = null; });
    show();
  });
  document.addEventListener("htmx:afterSettle", show);

  window.tealeaves = Object.assign(window.tealeaves || {}, { keys: { isFree, isTyping, shortcuts, show } });
})();
