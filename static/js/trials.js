// The page of a test. A choice is sent while the next trial, which came with the page, is already shown. Choices go
// out one after the other; one that is not taken stays in the outbox, with a way to send it again.
(() => {
  "use strict";

  const { tick, notice, button } = window.tealeaves.notices;
  const UNSEEN_MS = 300;
  const FINAL = [400, 403, 404, 410, 422]; // the answer would be the same if it were sent again
  const outbox = []; // {address, body, item, card}: what the server has not confirmed
  let isSending = false;
  let isStuck = false;

  const queue = () => document.getElementById("queue");
  const place = () => document.getElementById("place");
  const shown = () => place().querySelector(".card[data-item]");
  const itemOf = (card) => card?.dataset.item;
  const errors = () => document.getElementById("save-error");
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  function show(node) {
    place().replaceChildren(node);
    if (itemOf(node)) {
      node.inert = false;
      node.shownAt = performance.now();
      node.querySelector("fieldset").focus({ preventScroll: true }); // a screen reader reads what is new
    } else {
      document.getElementById("hints")?.remove();
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

  function put(form, submitter) {
    const card = form.closest(".card");
    // The second half of a double click was meant for the trial before, which nobody could read twice as fast.
    if (card.inert || performance.now() - (card.shownAt || 0) < UNSEEN_MS) return;
    form.elements.seconds.value = ((performance.now() - card.shownAt) / 1000).toFixed(2);
    const body = new URLSearchParams(new FormData(form, submitter));
    body.delete("csrfmiddlewaretoken");
    outbox.push({ address: form.action, body, item: itemOf(card), card });
    card.inert = true;
    const next = following();
    if (next) show(next);
    send();
  }

  async function send() {
    if (isSending || isStuck || !outbox.length) return;
    isSending = true;
    try {
      await deliver(outbox[0]);
    } finally {
      isSending = false;
    }
    send();
  }

  async function deliver(entry) {
    // Signing in again, in another tab, changes the token: it is read when something is sent, and never kept.
    const token = /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1] || "";
    let response;
    try {
      response = await fetch(entry.address, {
        method: "POST",
        body: entry.body,
        headers: { "HX-Request": "true", "X-CSRFToken": token, "X-Judge": document.body.dataset.user },
        credentials: "same-origin",
      });
    } catch {
      return stick("The server cannot be reached.", true);
    }
    const isPart = !response.redirected && !response.headers.has("HX-Refresh");
    const text = await response.text().catch(() => "");
    if (response.ok && isPart) return taken(text);
    if (FINAL.includes(response.status)) return stick(sentenceIn(text), false);
    if (response.ok) return stick("Your session has ended: sign in again in another tab, then send it again.", true);
    return stick(`The server answered with an error (${response.status}).`, true);
  }

  function sentenceIn(html) {
    return parsed(html).querySelector(".notice, main p")?.textContent.trim() || "The server did not take it.";
  }

  function taken(html) {
    outbox.shift();
    tick();
    const page = parsed(html);
    for (const part of [".num", "progress"]) {
      document.querySelector(`#queue-head ${part}`).replaceWith(page.querySelector(`#queue-head ${part}`));
    }
    arrange(page);
  }

  // What the server offers next, less what was answered meanwhile; the card on the screen stays where it is.
  function arrange(page) {
    const waiting = new Set(outbox.map((it) => it.item));
    const offered = [page.querySelector("#place").firstElementChild, page.querySelector("#following")?.content.querySelector(".card")]
      .filter((card) => card && !(itemOf(card) && waiting.has(itemOf(card))))
      .map((card) => document.importNode(card, true));
    const screen = shown();
    if (screen && !screen.inert) {
      keepForLater(offered.find((card) => itemOf(card) && itemOf(card) !== itemOf(screen)));
    } else if (offered.length) {
      show(offered[0]);
      keepForLater(offered[1]);
    }
  }

  function stick(sentence, mayRetry) {
    isStuck = true;
    const action = mayRetry ? button("Send it again", retry) : button("Leave it and go on", leave);
    notice(`${sentence} ${mayRetry ? "Not saved; your choice is kept on this page." : "It was not saved."}`, [action]);
  }

  function retry() {
    errors().replaceChildren();
    isStuck = false;
    send();
  }

  function leave() {
    errors().replaceChildren();
    isStuck = false;
    outbox.shift();
    if (!outbox.length && (shown()?.inert ?? true)) window.location.reload();
    send();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const card = shown();
    if (card) card.shownAt = performance.now();
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form.answer")) return;
      event.preventDefault();
      put(event.target, event.submitter);
    });
    window.addEventListener("beforeunload", (event) => {
      if (outbox.length) event.preventDefault();
    });
    window.addEventListener("online", () => { if (isStuck && errors().querySelector("button")?.textContent === "Send it again") retry(); });
  });

  window.tealeaves = Object.assign(window.tealeaves || {}, { queue: { shown, itemOf, notice } });
})();
