// Numbers on the labelling page mark the tokens that do not fit: "7" at once, "1" waits a moment for a second
// digit, "07" does not.
(() => {
  "use strict";

  const DIGITS_MS = 600;
  let digits = "";
  let digitsTimer = 0;

  const boxes = () => document.querySelectorAll("#place .card[data-item] [name=misfit]");

  function pending(number) {
    for (const token of document.querySelectorAll(".tok.pending")) token.classList.remove("pending");
    if (number) boxes()[number - 1]?.closest(".tok").classList.add("pending");
  }

  // What was typed counts now.
  function flush() {
    clearTimeout(digitsTimer);
    const number = Number(digits);
    digits = "";
    pending(0);
    if (number) boxes()[number - 1]?.click();
  }

  function digit(value) {
    clearTimeout(digitsTimer);
    const n = boxes().length;
    if (digits && Number(digits + value) > n) flush();
    digits += value;
    const number = Number(digits);
    const isWhole = digits.length === 2 || (digits !== "0" && number * 10 > n) || number > n;
    if (isWhole) {
      flush();
    } else {
      pending(number);
      digitsTimer = setTimeout(flush, DIGITS_MS);
    }
  }

  function digitOf(event) {
    if (/^\d$/.test(event.key)) return event.key;
    return event.shiftKey ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1] ?? null;
  }

  document.addEventListener("keydown", (event) => {
    const value = boxes().length && window.tealeaves.keys.isFree(event) && !event.repeat ? digitOf(event) : null;
    if (value === null) return;
    event.preventDefault();
    digit(value);
  });

  window.tealeaves = Object.assign(window.tealeaves || {}, { numbers: { flush } });
})();
