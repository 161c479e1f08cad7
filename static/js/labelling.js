// The labelling page. An answer is sent while the next item, which came with the page, is already shown.
// Answers go out one after the other; one that is not taken stays in the outbox, with a way to send it again.
(() => {
  "use strict";

  const { tick, notice, button } = window.tealeaves.notices;
  const UNSEEN_MS = 300;
  const FINAL = [400, 403, 404, 410, 422]; // the answer would be the same if it were sent again
  const outbox = []; // {item, address, body, card, draft}: what the server has not confirmed
  let isSending = false;
  let isStuck = false;

  const queue = () => document.getElementById("queue");
  const place = () => document.getElementById("place");
  const shown = () => place().querySelector(".card[data-item]");
  const itemOf = (card) => card?.dataset.item;
  const errors = () => document.getElementById("save-error");
  const numbers = () => window.tealeaves.numbers;

  // What is entered beside the marks: labels, and of a direction the kind and the reason.
  const fields = (card) => card.querySelectorAll(".entry input[name], .entry select[name]");

  // Drafts: drafts.js keeps them.

  function draftWrite(card) {
    const draft = { misfits: [...card.querySelectorAll("[name=misfit]:checked")].map((box) => box.value) };
    for (const field of fields(card)) draft[field.name] = field.value;
    window.tealeaves.drafts.write(itemOf(card), draft);
  }

  function draftApply(card) {
    const draft = window.tealeaves.drafts.read(itemOf(card));
    if (!draft) return;
    for (const field of fields(card)) field.value = draft[field.name] || "";
    for (const box of card.querySelectorAll("[name=misfit]")) box.checked = (draft.misfits || []).includes(box.value);
  }

  // The card

  function meter(card) {
    if (!card.querySelector(".fit")) return; // of a pair or a matrix nothing is marked
    const boxes = [...card.querySelectorAll("[name=misfit]")];
    const fit = boxes.filter((box) => !box.checked).length;
    const percent = boxes.length ? Math.round((100 * fit) / boxes.length) : 0;
    card.querySelector(".n-fit").textContent = fit;
    card.querySelector(".fit").classList.toggle("below", fit < Number(card.dataset.threshold) * boxes.length - 1e-9);
    card.querySelector(".fit > i").className = `w-${percent}`;
  }

  function show(node) {
    numbers().flush();
    place().replaceChildren(node);
    if (node.matches?.(".card[data-item]")) {
      draftApply(node);
      meter(node);
      node.inert = false;
      node.shownAt = performance.now();
      node.focus({ preventScroll: true }); // a screen reader reads what is new
    }
    window.tealeaves.keys.show();
  }

  function following() {
    const template = document.getElementById("following");
    const card = template?.content.querySelector(".card");
    template?.remove();
    return card ? document.importNode(card, true) : null;
  }

  function keepForLater(card) {
    document.getElementById("following")?.remove();
    if (!card) return;
    const template = document.createElement("template");
    template.id = "following";
    template.content.append(card);
    queue().append(template);
  }

  // Sending

  function put(form, submitter) {
    const card = form.closest(".card");
    const isAnswer = submitter?.name === "verdict";
    const isUndo = !submitter?.name && /\/undo\/$/.test(submitter?.formAction || form.action);
    if (isUndo && isStuck) return goBack();
    if (card.inert || (!isUndo && isUnseen(card))) return undefined;
    if (form.elements.seconds && card.shownAt) {
      form.elements.seconds.value = ((performance.now() - card.shownAt) / 1000).toFixed(2);
    }
    const entry = {
      item: itemOf(card),
      isUndo,
      isAnswer,
      address: submitter?.hasAttribute("formaction") ? submitter.formAction : form.action,
      body: new URLSearchParams(new FormData(form, submitter)),
      card,
    };
    entry.body.delete("csrfmiddlewaretoken");
    if (entry.item) draftWrite(card);
    outbox.push(entry);
    for (const reasons of card.querySelectorAll("details[open]")) reasons.open = false;
    card.inert = true;
    if (!isUndo) {
      const next = following();
      if (next) show(next);
    }
    return send();
  }

  // The second half of a double click, or a second tap: meant for the card before, which nobody could judge twice.
  function isUnseen(card) {
    return performance.now() - (card.shownAt || 0) < UNSEEN_MS;
  }

  async function send() {
    if (isSending || isStuck || !outbox.length) return;
    isSending = true;
    const entry = outbox[0];
    try {
      await deliver(entry);
    } finally {
      isSending = false;
    }
    send();
  }

  // Signing in again, in another tab, changes it: it is read when something is sent, and never kept.
  function token() {
    return /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1] || "";
  }

  async function deliver(entry) {
    let response;
    try {
      response = await fetch(entry.address, {
        method: "POST",
        body: entry.body,
        headers: { "HX-Request": "true", "X-CSRFToken": token(), "X-Judge": document.body.dataset.user },
        credentials: "same-origin",
      });
    } catch {
      return stick(entry, "The server cannot be reached.", true);
    }
    const isPart = !response.redirected && !response.headers.has("HX-Refresh");
    const text = await response.text().catch(() => "");
    if (response.ok && isPart) return taken(entry, text);
    if (FINAL.includes(response.status)) return stick(entry, sentenceIn(text), false);
    if (response.ok) return stick(entry, "Your session has ended: sign in again in another tab, then send it again.", true);
    return stick(entry, `The server answered with an error (${response.status}).`, true);
  }

  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  function sentenceIn(html) {
    return parsed(html).querySelector(".notice, main p")?.textContent.trim() || "The server did not take it.";
  }

  function taken(entry, html) {
    outbox.shift();
    if (entry.isAnswer) {
      window.tealeaves.drafts.forget(entry.item);
      suggest(entry.body);
      tick();
    }
    const page = parsed(html);
    document.getElementById("last").replaceWith(page.getElementById("last"));
    document.getElementById("queue-head").querySelector(".num").replaceWith(page.querySelector("#queue-head .num"));
    document.getElementById("queue-head").querySelector("progress").replaceWith(page.querySelector("#queue-head progress"));
    arrange(entry, page);
  }

  // What the server offers next, less what was answered meanwhile; the card on the screen stays where it is.
  function arrange(entry, page) {
    const waiting = new Set(outbox.map((it) => it.item));
    const current = page.querySelector("#place").firstElementChild;
    const offered = [current, page.querySelector("#following")?.content.querySelector(".card")]
      .filter((card) => card && !(itemOf(card) && waiting.has(itemOf(card))))
      .map((card) => document.importNode(card, true));
    const screen = shown();
    if (entry.isUndo) {
      window.tealeaves.drafts.forget(itemOf(current));
      show(offered[0]);
      keepForLater(screen && itemOf(screen) !== itemOf(offered[0]) ? release(screen) : offered[1]);
    } else if (screen && !screen.inert) {
      keepForLater(offered.find((card) => itemOf(card) && itemOf(card) !== itemOf(screen)));
    } else if (offered.length) {
      show(offered[0]);
      keepForLater(offered[1]);
    }
  }

  function release(card) {
    card.inert = false;
    return card;
  }

  // A label that was just used is suggested from now on; of others' none is, as long as this is blind.
  function suggest(body) {
    if (["not_interpretable", "unsure"].includes(body.get("verdict"))) return;
    const list = document.getElementById("labels");
    for (const label of ["label", "second_label"].map((name) => (body.get(name) || "").trim())) {
      if (!label || [...list.options].some((it) => it.value === label)) continue;
      const option = document.createElement("option");
      option.value = label;
      list.prepend(option);
    }
  }

  // What was not taken

  function stick(entry, sentence, mayRetry) {
    if (entry.isUndo && !mayRetry) {
      outbox.shift();
      release(entry.card);
      notice(sentence, []);
      return;
    }
    isStuck = true;
    const kept = entry.isUndo ? "The judgement still stands." : "Not saved; your answer is kept on this page.";
    const actions = mayRetry ? [button("Send it again", retry)] : [];
    if (!entry.isUndo) actions.push(button("Go back to it", goBack));
    if (!entry.isUndo && !mayRetry) actions.push(button("Leave it and go on", leave));
    notice(`${sentence} ${kept}`, actions);
  }

  function retry() {
    errors().replaceChildren();
    isStuck = false;
    send();
  }

  // What was refused is given up; its draft stays in this browser.
  function leave() {
    errors().replaceChildren();
    isStuck = false;
    outbox.shift();
    if (!outbox.length && shown()?.inert) window.location.reload();
    send();
  }

  // The refused answer's card comes back as it was; what came after it waits behind it.
  function goBack() {
    errors().replaceChildren();
    isStuck = false;
    const entry = outbox.shift();
    if (!entry) return;
    const screen = shown();
    if (screen !== entry.card) keepForLater(screen ? release(screen) : null);
    show(release(entry.card));
    send();
  }

  function onKey(event) {
    if (event.key === "Enter" && event.target.matches?.(".entry input")) {
      event.preventDefault(); // a verdict is given by its key, never by leaving the label
      event.target.blur();
    }
  }

  function onEdit(event) {
    const card = event.target.closest?.(".card[data-item]");
    if (!card) return;
    meter(card);
    draftWrite(card);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const card = shown();
    if (card) {
      if (!errors().querySelector(".notice")) draftApply(card);
      meter(card);
      card.shownAt = performance.now();
    }
    document.addEventListener("keydown", onKey);
    document.addEventListener("input", onEdit);
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form.answer")) return;
      event.preventDefault();
      numbers().flush();
      put(event.target, event.submitter);
    });
    window.addEventListener("beforeunload", (event) => {
      if (outbox.length) event.preventDefault();
    });
    window.addEventListener("online", () => { if (isStuck) retry(); });
  });

  window.tealeaves = Object.assign(window.tealeaves || {}, { queue: { shown, itemOf, notice } });
})();
