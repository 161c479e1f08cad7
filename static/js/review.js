// Enter saves the decision from anywhere on the page but where it has a use of its own: links, buttons, fields.
(() => {
  "use strict";

  const USES_ENTER = "a, button, summary, input:not([type=radio])";

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.repeat || !window.tealeaves.keys.isFree(event)) return;
    if (event.target instanceof Element && event.target.closest(USES_ENTER)) return;
    const form = document.querySelector("form[data-enter]");
    if (!form) return;
    event.preventDefault();
    form.requestSubmit();
  });

  // A decision that is sent twice is taken once, but what follows it would be skipped.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-enter]")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-enter]")) delete form.dataset.sent;
  });
})();
