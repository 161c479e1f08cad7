// The labelling page's heartbeat: while somebody is at work, the items on the page stay theirs. Whoever has gone
// home does not keep them: without a sign of life the beat stops, and the leases end by themselves.
(() => {
  "use strict";

  const AWAY_MS = 10 * 60 * 1000;
  let lastSign = performance.now();
  let isTold = ""; // the item whose loss was told

  const queue = () => document.getElementById("queue");

  function items() {
    const following = document.getElementById("following")?.content.querySelector(".card[data-item]");
    return [window.tealeaves.queue.shown(), following].filter(Boolean).map(window.tealeaves.queue.itemOf);
  }

  async function beat() {
    const names = items();
    if (!names.length || document.hidden || performance.now() - lastSign > AWAY_MS) return;
    const token = /(?:^|;\s*)csrftoken=([^;]+)/.exec(document.cookie)?.[1] || "";
    let response;
    try {
      response = await fetch(queue().dataset.beat, {
        method: "POST",
        body: new URLSearchParams(names.map((name) => ["item", name])),
        headers: { "HX-Request": "true", "X-CSRFToken": token, "X-Judge": document.body.dataset.user },
        credentials: "same-origin",
      });
    } catch {
      return; // the next answer says that the server cannot be reached, and is kept
    }
    if (response.status === 204 || response.redirected || isTold === names[0] || names[0] !== items()[0]) return;
    const text = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(".notice");
    if (!text || document.querySelector("#save-error .notice")) return;
    isTold = names[0];
    window.tealeaves.queue.notice(text.textContent.trim(), []);
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const sign of ["keydown", "pointerdown", "pointermove", "scroll"]) {
      document.addEventListener(sign, () => { lastSign = performance.now(); }, { passive: true });
    }
    setInterval(beat, 1000 * Number(queue().dataset.beatSeconds));
    document.addEventListener("visibilitychange", beat);
  });
})();
